//! That URLs are well-formed, lead to a route, and are made nowhere else.

use std::{fs, path::Path};

use super::*;
use crate::routes;

#[test]
fn every_part_of_a_url_is_encoded() {
    assert_eq!(Url::user("a/../b c?d#ä").to_string(), "/users/a%2F..%2Fb%20c%3Fd%23%C3%A4");
    assert_eq!(Url::fleet().with(&[("q", "a &b")]).at("x y").to_string(), "/?q=a+%26b#x%20y");
}

#[test]
fn parameters_are_added_behind_those_there_are_and_can_be_carried_by_a_form() {
    let nothing = Vec::<(&str, &str)>::new();
    let url = Url::top().with(&[("by", "memory")]).with(&nothing).with(&[("to", "10:00:00,a:b:7")]);
    assert_eq!(url.to_string(), "/top?by=memory&to=10:00:00,a%3Ab%3A7");
    let parameters = [("by", "memory"), ("to", "10:00:00,a:b:7")];
    assert_eq!(url.parameters(), parameters.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!((url.path(), Url::top().api().path()), ("/top", "/api/v1/top"));
}

#[test]
fn the_page_of_a_request_is_never_another_server() {
    for (path, expected) in [
        ("/top", "/top"),
        ("/a//b", "/a//b"),
        ("//evil.example/", "/evil.example/"),
        ("/\\evil.example/", "/evil.example/"),
        ("///", "/"),
        ("", "/"),
    ] {
        assert_eq!(Url::of_page(path).path(), expected, "{path}");
    }
}

fn all() -> Vec<Url> {
    let tabs = [HostTab::Processes, HostTab::System, HostTab::History, HostTab::Events, HostTab::Diff];
    let with_json = [
        Url::top(),
        Url::search(),
        Url::audit(),
        Url::events(),
        Url::host("h", HostTab::Events),
        Url::host("h", HostTab::Diff),
        Url::pid("h", 1),
    ];
    let pages = [
        Url::fleet(),
        Url::fleet_live(),
        Url::hosts(),
        Url::host_live("h"),
        Url::system_live("h"),
        Url::host_groups("h"),
        Url::timeline("h"),
        Url::host_processes("h"),
        Url::host_metrics("h"),
        Url::pid_metrics("h", 1),
        Url::sql(),
        Url::sql_cancel(),
        Url::metrics(),
        Url::sign_in(),
        Url::sign_out(),
        Url::welcome("secret"),
        Url::account(),
        Url::password(),
        Url::end_session(),
        Url::tokens(),
        Url::revoke_token(),
        Url::users(),
        Url::user("anna"),
        Url::ready(),
        Url::glossary(),
        Url::asset("1", "base.css"),
        Url::interface(),
        Url::openapi(),
    ];
    let of_a_host = tabs.map(|tab| Url::host("h", tab));
    with_json
        .iter()
        .cloned()
        .chain(with_json.iter().cloned().map(Url::api))
        .chain(pages)
        .chain(of_a_host)
        .collect()
}

#[test]
fn every_url_leads_to_a_route() {
    let routes = routes::table();
    let is_met = |route: &str, path: &str| {
        let (route, path): (Vec<&str>, Vec<&str>) = (route.split('/').collect(), path.split('/').collect());
        route.len() == path.len()
            && route.iter().zip(path).all(|(part, given)| *part == given || part.starts_with('{'))
    };
    for url in all() {
        assert!(routes.iter().any(|route| is_met(route.path, url.path())), "{url}");
    }
}

/// Every file with this extension below `folder`: its path, and what is in it before its tests.
fn files(folder: &Path, extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|given| given == extension) {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            found.push((path.display().to_string(), text));
        }
    }
    found
}

#[test]
fn templates_get_every_link_from_here() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates");
    for (file, text) in files(&folder, "html") {
        for attribute in ["href=\"", "action=\"", "src=\"", "data-live=\""] {
            let by_hand = text.split(attribute).skip(1).find(|value| !value.starts_with("{{"));
            assert_eq!(by_hand.map(|value| value.lines().next()), None, "{file}");
        }
    }
}

#[test]
fn no_url_is_put_together_by_hand() {
    let first_parts: Vec<String> = routes::table()
        .iter()
        .filter_map(|route| route.path.split('/').nth(1).filter(|part| !part.is_empty()).map(str::to_owned))
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    // The addresses of older systems are theirs, on a listener of their own.
    let is_elsewhere = |file: &str| !file.contains("/url") && !file.contains("/legacy/");
    let elsewhere = files(&folder, "rs").into_iter().filter(|(file, _)| is_elsewhere(file));
    for (file, text) in elsewhere {
        for text in ["format!(", "Redirect::to("].into_iter().flat_map(|call| text.split(call).skip(1)) {
            let literal = text.trim_start().trim_start_matches('&').strip_prefix('"');
            let literal = literal.and_then(|rest| rest.split('"').next()).unwrap_or_default();
            let is_by_hand = |part: &String| {
                literal
                    .split_once(&format!("/{part}"))
                    .is_some_and(|(_, rest)| !rest.starts_with(char::is_alphanumeric))
            };
            assert!(!first_parts.iter().any(is_by_hand), "{file}: {literal}");
        }
    }
}
