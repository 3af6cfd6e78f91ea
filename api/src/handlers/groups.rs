//! Changes what a host belongs to.

use std::collections::BTreeSet;

use axum::{http::StatusCode, response::Response};
use fleetps_nats::hosts::{MAX_GROUPS, read_groups};

use super::{page::Layout, refused_form};
use crate::{
    extract::{Form, Host},
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    url::{HostTab, Url},
};

/// The form of the host's page on what it is: its groups, with spaces or commas between.
pub(crate) async fn change(
    layout: Layout,
    scoped: ScopedFleet,
    Host(host): Host,
    form: Form,
) -> Result<Response, Refusal> {
    let addresses = (Url::host_groups(host.as_str()), Url::host(host.as_str(), HostTab::System));
    let changing = async { scoped.set_groups(&host, read(&form.field("groups"))?).await };
    refused_form::answer(layout, addresses, &form, |_| "Groups", changing.await)
}

/// Groups as people write them, as many as a host may be in.
///
/// # Errors
/// When one of them is none, or there are too many.
pub(super) fn read(text: &str) -> Result<BTreeSet<String>, Refusal> {
    let bad =
        |error: String| Refusal::new(StatusCode::BAD_REQUEST, error, "write groups as in: web env=prod");
    let groups = read_groups(text).map_err(|error| bad(error.to_string()))?;
    if groups.len() > MAX_GROUPS {
        return Err(bad(format!("{} groups are too many for a host: at most {MAX_GROUPS}", groups.len())));
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_words_with_anything_between_them_and_not_too_many() {
        let read = |text: &str| read(text).map(|groups| groups.into_iter().collect::<Vec<_>>().join("|"));
        assert_eq!(read(" web, env=prod\r\n web ").unwrap(), "env=prod|web");
        assert_eq!(read("").unwrap(), "");
        assert!(read("<b>").unwrap_err().error.contains("is not a group"));
        let many: Vec<String> = (0..=MAX_GROUPS).map(|number| format!("g{number}")).collect();
        assert!(read(&many.join(" ")).unwrap_err().error.contains("too many"));
    }
}
