//! Slack: one line of text to an incoming webhook; with a token, everything in one message, and answers in its thread.
//!
//! Slack reads `<…>` as links and mentions, so `& < >` are escaped in everything that comes from elsewhere, and only links
//! of ours stand between angle brackets. Text in `*`, `_` or backquotes can change how a word looks, and nothing else.

use serde_json::{Value, json};

use super::http::{Answer, Post};
use crate::notify::{
    channel::{SlackToken, SlackWebhook},
    failure::{Again, Failure, Sent},
    notification::{Kind, Notification, Subject, is_link},
    words::{culprit_line, facts, moment},
};

/// Slack's own interface.
pub(super) const API: &str = "https://slack.com/api/";
/// Errors of Slack that pass by themselves.
const PASSING: [&str; 6] = [
    "ratelimited",
    "rate_limited",
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
];

pub(super) fn incoming(slack: &SlackWebhook, notification: &Notification) -> Post {
    let text = match notification.link.as_str() {
        "" => escaped(&notification.headline()),
        link => format!("{} {}", escaped(&notification.headline()), linked(link, "Open")),
    };
    let body = json!({ "text": text, "unfurl_links": false, "unfurl_media": false });
    Post {
        url: slack.url.reveal().to_owned(),
        headers: Vec::new(),
        body: body.to_string().into_bytes(),
        authority: None,
        reads_answer: false,
    }
}

pub(super) fn message(
    api: &str,
    slack: &SlackToken,
    notification: &Notification,
    opening: Option<&str>,
) -> Post {
    let mut body = json!({
        "channel": slack.conversation,
        "text": text(notification),
        "parse": "none",
        "link_names": false,
        "unfurl_links": false,
        "unfurl_media": false,
    });
    if let Some(opening) = opening {
        body["thread_ts"] = opening.into();
        // The end of an alert is also seen by those who did not open the thread.
        body["reply_broadcast"] = (notification.kind == Kind::Resolved).into();
    }
    Post {
        url: format!("{api}chat.postMessage"),
        headers: vec![("authorization", format!("Bearer {}", slack.token.reveal()))],
        body: body.to_string().into_bytes(),
        authority: None,
        reads_answer: true,
    }
}

/// The answer of an incoming webhook. Slack says with a status what it also says with words.
pub(super) fn judge_incoming(answer: Answer) -> Result<Sent, Failure> {
    answer.judge()
}

/// The answer of the interface: 200 also where it failed.
pub(super) fn judge_message(answer: Answer) -> Result<Sent, Failure> {
    answer.judge()?;
    let Ok(value) = serde_json::from_slice::<Value>(&answer.body) else {
        return Err(Failure::passing("Slack's answer is not JSON, or is too long"));
    };
    if value["ok"] == true {
        let is_receipt = |text: &&str| text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_graphic());
        return Ok(Sent { receipt: value["ts"].as_str().filter(is_receipt).map(str::to_owned) });
    }
    let error = value["error"].as_str().unwrap_or("an error without a name");
    let reason = format!("Slack answered: {error}");
    match PASSING.contains(&error) {
        true => Err(Failure::new(reason, answer.retry_after.map_or(Again::Later, Again::After))),
        false => Err(Failure::lasting(format!("{reason}; check the channel's token and conversation"))),
    }
}

fn text(notification: &Notification) -> String {
    let mut lines = vec![format!("*{}*", escaped(&notification.headline()))];
    if let Subject::Hosts { first, .. } = &notification.subject {
        lines.push(escaped(&first.join(", ")));
    }
    lines.extend(notification.also.iter().map(|title| format!("• {}", escaped(title))));
    for (name, value) in facts(notification) {
        lines.push(format!("{name}: {}", escaped(&value)));
    }
    lines
        .extend(notification.culprits.iter().map(|culprit| format!("• {}", escaped(&culprit_line(culprit)))));
    let runbook = &notification.facts.runbook;
    match is_link(runbook) {
        true => lines.push(linked(runbook, "Runbook")),
        false if runbook.is_empty() => {}
        false => lines.push(format!("Runbook: {}", escaped(runbook))),
    }
    let links: Vec<String> =
        notification.links().into_iter().map(|(words, link)| linked(link, words)).collect();
    if !links.is_empty() {
        lines.push(format!("{}: {}", moment(notification.at_us), links.join(" · ")));
    }
    lines.join("\n")
}

/// Text that Slack shows as it is.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A link that passed [`is_link`], with words of ours.
fn linked(link: &str, words: &str) -> String {
    format!("<{}|{words}>", link.replace('&', "&amp;"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::{channel::Secret, examples};

    fn body(post: &Post) -> Value {
        serde_json::from_slice(&post.body).unwrap()
    }

    fn token() -> SlackToken {
        SlackToken { token: Secret::from("xoxb-1"), conversation: "C1".to_owned() }
    }

    #[test]
    fn an_incoming_webhook_gets_one_line() {
        let slack = SlackWebhook { url: "https://hooks.slack.com/services/x".into() };
        let body = body(&incoming(&slack, &examples::raised()));
        assert_eq!(
            body["text"],
            "Critical: web-01.example.com: 97 % of memory is in use (and 1 more) \
             <https://ps.example.com/hosts/web-01.example.com?at=2026-11-28T14:00:00Z|Open>"
        );
    }

    #[test]
    fn what_follows_is_an_answer_in_the_thread() {
        let post = message(API, &token(), &examples::resolved(), Some("17.5"));
        assert_eq!(post.url, "https://slack.com/api/chat.postMessage");
        assert_eq!(
            (&body(&post)["thread_ts"], &body(&post)["reply_broadcast"]),
            (&json!("17.5"), &json!(true))
        );
        assert!(body(&message(API, &token(), &examples::raised(), None)).get("thread_ts").is_none());
    }

    #[test]
    fn hostile_words_make_no_mention_and_no_link() {
        let slack = SlackWebhook { url: "https://hooks.slack.com/services/x".into() };
        for words in examples::HOSTILE {
            let notification = examples::saying(words).cleaned();
            for post in [incoming(&slack, &notification), message(API, &token(), &notification, None)] {
                let text = body(&post)["text"].as_str().unwrap().to_owned();
                assert!(!text.contains('<'), "{text}");
                assert!(!text.contains("&amp;lt;!channel&amp;gt;") || words.contains("&lt;"), "{text}");
            }
            assert_eq!(
                text(&notification).lines().count(),
                text(&examples::saying("x").cleaned()).lines().count()
            );
        }
    }

    #[test]
    fn slack_says_in_words_what_failed() {
        let judge = |body: &str| {
            judge_message(Answer { status: 200, retry_after: None, body: body.as_bytes().to_vec() })
        };
        assert_eq!(judge(r#"{"ok":true,"ts":"17.5"}"#).unwrap().receipt.as_deref(), Some("17.5"));
        assert_eq!(judge(r#"{"ok":false,"error":"ratelimited"}"#).unwrap_err().again, Again::Later);
        let lasting = judge(r#"{"ok":false,"error":"channel_not_found\u001b[31m"}"#).unwrap_err();
        assert_eq!(lasting.again, Again::Never);
        assert!(!lasting.reason.contains('\u{1b}'), "{}", lasting.reason);
        assert_eq!(judge("<html>").unwrap_err().again, Again::Later);
    }
}
