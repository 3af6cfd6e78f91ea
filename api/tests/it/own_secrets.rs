//! Every secret that fleetps makes, as commands have them on their command lines: none leaves a host.

use fleetps::testing::auth::{ClientInfo, Cookie, Secret, set_cookie, tokens};
use fleetps_agent::scrub::{CommandLineMode, command_line};
use fleetps_nats::{admission::EnrolmentTokens, key, server::Part};

use crate::guarded::Guarded;

/// Every kind, as text.
async fn secrets() -> Vec<(&'static str, String)> {
    let (_site, server) = Guarded::new(Default::default()).await.into_parts();
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let enrolment = EnrolmentTokens::open(&client).await.unwrap();
    let enrolment = enrolment.make(std::time::Duration::from_secs(60), 1, []).await.unwrap();
    let new = || Secret::new().unwrap();
    let mut secrets = vec![("enrolment token", enrolment), ("API token", tokens::text(&new()))];
    secrets.push(("link", format!("https://fleet.example.com/welcome/{}", new().text())));
    for (over_tls, port) in [(true, None), (false, None), (false, Some(8080))] {
        for cookie in [Cookie::Session, Cookie::Browser] {
            let came = ClientInfo { over_tls, port, ..ClientInfo::nowhere() };
            let set = set_cookie(cookie, &new(), came).unwrap().to_str().unwrap().to_owned();
            secrets.push(("cookie", set.split(';').next().unwrap().to_owned()));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.nk");
    key::make(&file).unwrap();
    secrets.push(("seed of a key", std::fs::read_to_string(&file).unwrap().trim().to_owned()));
    let keys = folder.path().join("keys");
    fleetps_nats::server::by_hand(&keys).unwrap();
    for file in std::fs::read_dir(keys).unwrap() {
        secrets.push((
            "seed of a part",
            std::fs::read_to_string(file.unwrap().path()).unwrap().trim().to_owned(),
        ));
    }
    secrets
}

/// What of a secret must not be seen: the part behind its name or address.
fn core(secret: &str) -> &str {
    let start = secret.rfind(['/', '=']).map_or(0, |at| at + 1);
    let core = &secret[start..];
    &core[core.len() - 30..]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_our_own_leaves_a_host_on_a_command_line() {
    for (kind, secret) in secrets().await {
        let in_url = format!("https://h.example/?x={secret}&y=1");
        let encoded = secret.replace('=', "%3D");
        for arguments in [
            vec!["tool", &secret],
            vec!["tool", "--token", &secret],
            vec!["tool", &format!("--token={secret}")],
            vec!["tool", &format!("--anything={secret}")],
            vec!["tool", &format!("-x{secret}")],
            vec!["curl", &in_url],
            vec!["curl", &format!("https://h.example/#{encoded}")],
            vec!["curl", "-b", &secret],
            vec!["curl", "-H", &format!("Cookie: a=b; {secret}; c=d")],
            vec!["curl", "-H", &format!("X-Other: {secret}")],
            vec!["sh", "-c", &format!("echo '{secret}'|tool|x:{secret}:y")],
            vec!["sh", "-c", &format!("A={secret} tool `{secret}` [{secret}] <{secret}>")],
            vec!["tool", &format!("a,{secret},b|{secret}\\n{secret}")],
            vec!["tool", &format!("{{\"a\":\"{secret}\"}}")],
        ] {
            let parts = command_line(CommandLineMode::Scrubbed, &arguments).unwrap();
            let sent = parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join(" ");
            assert!(!sent.contains(core(&secret)), "{kind}: {sent}");
            assert!(sent.contains("***"), "{kind}: {sent}");
        }
    }
}
