//! The page to return to after signing in or confirming: the parameter `next`.

use serde::{Deserialize, Serialize};

use crate::{
    query::parameter::{self, is_default},
    url::Url,
};

/// The query of a page that leads somewhere else afterwards.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NextQuery {
    /// The address it leads to.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub next: String,
}

/// `page`, which leads back to `next` afterwards.
pub(crate) fn with_next(page: Url, next: &str) -> Url {
    page.with(&NextQuery { next: next.to_owned() })
}

/// The page of this server that `next` names; the fleet for anything else.
pub(crate) fn own_page(next: &str) -> &str {
    let is_own = next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_own { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_never_leads_to_another_site() {
        for own in ["/", "/hosts/web-1?q=a%20b&at=1", "/a//b"] {
            assert_eq!(own_page(own), own);
        }
        for other in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/\t/evil.example",
            "javascript:1",
        ] {
            assert_eq!(own_page(other), "/", "{other}");
        }
    }
}
