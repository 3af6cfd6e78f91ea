use std::process::Stdio;

use fleetps::testing::{notify::Again, tls};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use super::{channel, notification, resolved, sender};
use crate::support::PATIENCE;

const SCRIPT: &str = include_str!("relay.py");

/// A relay in Python; killed when this is dropped.
struct Relay {
    _process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Relay {
    async fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new("python3")
            .args(["-c", SCRIPT])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        let port = port.expect("the relay ended").parse().unwrap();
        Self { _process: process, lines, port }
    }

    /// The next mail.
    async fn mail(&mut self) -> Value {
        let line =
            tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("no mail came").unwrap();
        serde_json::from_str(&line.expect("the relay ended")).unwrap()
    }

    fn channel(&self, more: Value) -> fleetps::testing::notify::Channel {
        let mut means = json!({
            "kind": "mail", "server": "127.0.0.1", "port": self.port,
            "from": "fleetps <fleetps@example.com>", "to": ["anna@example.com", "Ops <ops@example.com>"],
        });
        means.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        channel(means)
    }
}

/// Whether Python has a relay; where it must and has not, the test fails.
fn has_relay() -> bool {
    let has = std::process::Command::new("python3").args(["-c", "import aiosmtpd"]).output();
    let has = has.is_ok_and(|output| output.status.success());
    if !has {
        assert!(std::env::var_os("FLEETPS_TEST_REQUIRE_SMTP").is_none(), "python3 has no aiosmtpd");
        eprintln!("skipped: python3 has no aiosmtpd; install it with `python3 -m pip install aiosmtpd`");
    }
    has
}

fn header<'a>(mail: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = mail["headers"].as_array().unwrap();
    let named = headers.iter().filter(|header| header[0].as_str().unwrap().eq_ignore_ascii_case(name));
    named.map(|header| header[1].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_mail_and_what_follows_are_one_thread_and_hostile_words_are_text() {
    if !has_relay() {
        return;
    }
    let mut relay = Relay::start(&["plain"]).await;
    let channel = relay.channel(json!({ "tls": "none", "hello_name": "ps.example.com" }));
    let words = "x\r\nBcc: evil@example.com\r\n\r\n.\r\nQUIT\r\n<script>=?utf-8?q?=0D=0ABcc:_y?=";
    sender().send(&channel, &notification("a", words), None).await.unwrap();
    sender().send(&channel, &resolved("a"), None).await.unwrap();
    let (first, second) = (relay.mail().await, relay.mail().await);
    assert_eq!((&first["hello"], &first["tls"]), (&json!("ps.example.com"), &json!(false)));
    assert_eq!(first["to"], json!(["anna@example.com", "ops@example.com"]));
    let names: Vec<&str> =
        first["headers"].as_array().unwrap().iter().map(|header| header[0].as_str().unwrap()).collect();
    let mut expected = vec!["From", "Subject", "Date", "Message-ID", "To", "Auto-Submitted"];
    expected.extend(["X-Auto-Response-Suppress", "MIME-Version", "Content-Type"]);
    assert_eq!(names, expected);
    assert!(!header(&first, "Subject")[0].contains(['\r', '\n']), "{:?}", header(&first, "Subject"));
    let kinds: Vec<&str> =
        first["parts"].as_array().unwrap().iter().map(|part| part["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["text/plain", "text/html"]);
    assert!(
        first["parts"][0]["text"].as_str().unwrap().contains("x␍␊Bcc: evil@example.com␍␊␍␊.␍␊QUIT␍␊<script>")
    );
    assert!(first["parts"][1]["text"].as_str().unwrap().contains("&#60;script&#62;"));
    assert_eq!(header(&second, "In-Reply-To"), header(&first, "Message-ID"));
    assert_eq!(header(&second, "References"), header(&first, "Message-ID"));
}

#[tokio::test]
async fn a_mail_is_protected_as_its_channel_says_or_not_sent() {
    if !has_relay() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let authority = std::fs::read_to_string(tls::make(folder.path(), &[]).unwrap().authority).unwrap();
    let other = tempfile::tempdir().unwrap();
    let other = std::fs::read_to_string(tls::make(other.path(), &[]).unwrap().authority).unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (file("server.pem"), file("server.key"));
    let mut starttls = Relay::start(&["starttls", &certificate, &key]).await;
    let mut implicit = Relay::start(&["implicit", &certificate, &key]).await;
    let plain = Relay::start(&["plain"]).await;
    let trusted =
        |tls: &str| json!({ "tls": tls, "authority": authority, "user": "anna", "password": "hush" });
    sender().send(&starttls.channel(trusted("required")), &notification("a", "a"), None).await.unwrap();
    let mail = starttls.mail().await;
    assert_eq!((&mail["tls"], &mail["user"]), (&json!(true), &json!("anna")));
    sender().send(&implicit.channel(trusted("implicit")), &notification("b", "b"), None).await.unwrap();
    assert_eq!(implicit.mail().await["from"], "fleetps@example.com");

    let wrong = |more: Value| {
        let mut means = trusted("required");
        means.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        means
    };
    for (what, channel) in [
        ("an authority that nobody knows", starttls.channel(wrong(json!({ "authority": null })))),
        ("another authority", starttls.channel(wrong(json!({ "authority": other })))),
        ("no STARTTLS", plain.channel(trusted("required"))),
        ("a wrong password", starttls.channel(wrong(json!({ "password": "x" })))),
        ("TLS where there is none", plain.channel(trusted("implicit"))),
    ] {
        let failure = sender().send(&channel, &notification("c", "c"), None).await.expect_err(what);
        assert_eq!(failure.again, Again::Later, "{what}: {}", failure.reason);
        assert!(!failure.reason.contains("hush"), "{}", failure.reason);
    }
}

#[tokio::test]
async fn what_a_relay_says_decides_whether_it_is_tried_again() {
    if !has_relay() {
        return;
    }
    let relay = Relay::start(&["plain"]).await;
    for (to, again) in [("full@example.com", Again::Later), ("nobody@example.com", Again::Never)] {
        let channel = relay.channel(json!({ "tls": "none", "to": [to] }));
        let failure = sender().send(&channel, &notification("a", "a"), None).await.unwrap_err();
        assert_eq!(failure.again, again, "{}", failure.reason);
    }
}
