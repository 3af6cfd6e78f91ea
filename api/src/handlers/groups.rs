//! Changes what a host belongs to.

use std::collections::BTreeSet;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use fleetps_nats::hosts::{MAX_GROUPS, read_groups};

use crate::{
    extract::{Form, Host},
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    url::{HostTab, Url},
};

/// The form of the host's page on what it is: its groups, with spaces or commas between.
pub async fn change(scoped: ScopedFleet, Host(host): Host, form: Form) -> Result<Response, Refusal> {
    let groups = read(&form.field("groups"))?;
    scoped.set_groups(&host, groups).await?;
    Ok(Redirect::to(&Url::host(host.as_str(), HostTab::System).to_string()).into_response())
}

fn read(text: &str) -> Result<BTreeSet<String>, Refusal> {
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
