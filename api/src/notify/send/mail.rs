//! Mail: text and HTML, the chart as a picture in it, over SMTP with TLS.
//!
//! `Message-ID` comes from the notification's id, so a mail that was sent twice is recognised, and what follows names the
//! first mail of its thread. lettre encodes what a header holds, and nothing with a line break reaches it.

use std::time::{Duration, SystemTime};

use askama::Template;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{
        Attachment, MultiPart, SinglePart,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
        extension::ClientId,
    },
};

use super::{chart, key_of};
use crate::{
    display::count,
    notify::{
        channel::{self, BadChannel, MAX_RECIPIENTS, Mail, MailTls},
        failure::{Failure, Sent},
        notification::{Kind, Notification, Severity, Subject, is_link},
        words::{culprit_line, facts, moment},
    },
};

/// The name by which the HTML part calls the picture.
const CHART_ID: &str = "chart";
/// Sign-in that failed (RFC 4954): somebody may be changing the password.
const SIGN_IN_FAILED: [u16; 3] = [530, 534, 535];

#[derive(Template)]
#[template(path = "mail.html")]
struct HtmlPart<'a> {
    notification: &'a Notification,
    headline: String,
    state: &'static str,
    facts: Vec<(&'static str, String)>,
    first_hosts: &'a [String],
    more_hosts: usize,
    more_also: usize,
    moment: String,
    is_runbook_link: bool,
    has_chart: bool,
    chart_words: String,
}

impl HtmlPart<'_> {
    /// The address of the chart, which is a part of the mail.
    const CHART: &'static str = "cid:chart";
}

impl<'a> HtmlPart<'a> {
    fn of(notification: &'a Notification) -> Self {
        let (first_hosts, more_hosts) = match &notification.subject {
            Subject::Hosts { count, first } => (first.as_slice(), count.saturating_sub(first.len())),
            _ => (Default::default(), 0),
        };
        Self {
            headline: notification.headline(),
            state: state(notification),
            facts: facts(notification),
            first_hosts,
            more_hosts,
            more_also: notification.also_count.saturating_sub(notification.also.len()),
            moment: moment(notification.at_us),
            is_runbook_link: is_link(&notification.facts.runbook),
            has_chart: notification.chart.is_some(),
            chart_words: chart_words(notification),
            notification,
        }
    }
}

/// The class of the coloured bar.
fn state(notification: &Notification) -> &'static str {
    match (notification.kind, notification.severity) {
        (Kind::Resolved, _) => "resolved",
        (Kind::Test, _) | (_, Severity::Info) => "info",
        (_, Severity::Warning) => "warning",
        (_, Severity::Critical) => "critical",
    }
}

/// What the chart shows, below it and for those who see no pictures.
fn chart_words(notification: &Notification) -> String {
    let Some(chart) = &notification.chart else { return String::new() };
    let values = chart.points.iter().filter_map(|point| point.value);
    let (low, high) =
        values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    let span = chart.points.first().zip(chart.points.last());
    let span = span.map(|(first, last)| format!("{} to {}", moment(first.at_us), moment(last.at_us)));
    let measure = match notification.facts.measure.as_str() {
        "" => "Values",
        measure => measure,
    };
    format!("{measure} from {low:.1} to {high:.1}, {}", span.unwrap_or_default())
}

/// Whether a mail channel can be kept.
pub(super) fn check(mail: &Mail) -> Result<(), BadChannel> {
    channel::short("server", &mail.server)?;
    let is_host = |letter: char| letter.is_ascii_alphanumeric() || ".-:".contains(letter);
    if !mail.server.chars().all(is_host) {
        return Err(BadChannel::new(
            "server",
            "expected the name or address of a relay, as in smtp.example.com",
        ));
    }
    if mail.tls == MailTls::None && !is_loopback(&mail.server) {
        let problem =
            "may be none for a relay on this machine only, as in 127.0.0.1; expected required or implicit";
        return Err(BadChannel::new("tls", problem));
    }
    if mail.port == Some(0) {
        return Err(BadChannel::new("port", "expected 1 to 65535"));
    }
    if mail.authority.as_ref().is_some_and(|pem| authorities(pem).is_none()) {
        return Err(BadChannel::new("authority", "expected certificates in PEM"));
    }
    if let Some(user) = &mail.user {
        channel::short("user", user)?;
    }
    if let Some(name) = &mail.hello_name {
        channel::short("hello_name", name)?;
        if !name.chars().all(is_host) {
            return Err(BadChannel::new("hello_name", "expected a host's name, as in ps.example.com"));
        }
    }
    channel::mailbox("from", &mail.from)?;
    if !(1..=MAX_RECIPIENTS).contains(&mail.to.len()) {
        return Err(BadChannel::new("to", format!("expected 1 to {MAX_RECIPIENTS} recipients")));
    }
    mail.to.iter().try_for_each(|recipient| channel::mailbox("to", recipient).map(|_| ()))
}

fn is_loopback(server: &str) -> bool {
    server.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// Certificates in PEM; `None` where there are none.
fn authorities(pem: &str) -> Option<Vec<Certificate>> {
    const END: &str = "-----END CERTIFICATE-----";
    let blocks = pem.split_inclusive(END).filter(|block| block.contains(END));
    let read: Result<Vec<_>, _> = blocks.map(|block| Certificate::from_pem(block.as_bytes())).collect();
    read.ok().filter(|certificates| !certificates.is_empty())
}

pub(super) async fn send(mail: &Mail, notification: &Notification, limit: Duration) -> Result<Sent, Failure> {
    // The record may be older than the checks of today.
    check(mail).map_err(|bad| Failure::lasting(format!("the channel's {bad}")))?;
    let message = compose(mail, notification)?;
    let transport = transport(mail, limit)?;
    match tokio::time::timeout(limit, transport.send(message)).await {
        Ok(Ok(_)) => Ok(Sent::default()),
        Ok(Err(error)) => Err(failure(&error)),
        Err(_) => Err(Failure::passing("the relay did not take the mail in time")),
    }
}

fn failure(error: &lettre::transport::smtp::Error) -> Failure {
    let reason = format!("the mail was not taken: {}", fleetps_nats::error_chain(error));
    let code = error.status().map(u16::from);
    match error.is_permanent() && !code.is_some_and(|code| SIGN_IN_FAILED.contains(&code)) {
        true => Failure::lasting(reason),
        false => Failure::passing(reason),
    }
}

fn transport(mail: &Mail, limit: Duration) -> Result<AsyncSmtpTransport<Tokio1Executor>, Failure> {
    let tls = || {
        let mut parameters = TlsParameters::builder(mail.server.clone());
        for authority in mail.authority.as_deref().and_then(authorities).unwrap_or_default() {
            parameters = parameters.add_root_certificate(authority);
        }
        parameters
            .build_rustls()
            .map_err(|error| Failure::lasting(format!("no TLS with this relay: {error}")))
    };
    let (tls, port) = match mail.tls {
        MailTls::Required => (Tls::Required(tls()?), 587),
        MailTls::Implicit => (Tls::Wrapper(tls()?), 465),
        MailTls::None => (Tls::None, 25),
    };
    let name = mail.hello_name.clone().unwrap_or_else(|| domain(mail));
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&mail.server)
        .port(mail.port.unwrap_or(port))
        .tls(tls)
        .hello_name(ClientId::Domain(name))
        .timeout(Some(limit));
    if let Some(user) = &mail.user {
        builder = builder.credentials(Credentials::new(user.clone(), mail.password.reveal().to_owned()));
    }
    Ok(builder.build())
}

/// The domain of the sender.
fn domain(mail: &Mail) -> String {
    let from = channel::mailbox("from", &mail.from);
    from.map_or_else(|_| "localhost".to_owned(), |from| from.email.domain().to_owned())
}

/// The subject. lettre leaves ASCII as it is, and a reader would decode what looks like an encoded word (RFC 2047).
fn subject(notification: &Notification) -> String {
    notification.headline().replace("=?", "= ?")
}

/// The whole mail.
pub(super) fn compose(mail: &Mail, notification: &Notification) -> Result<Message, Failure> {
    let bad =
        |error: &dyn std::fmt::Display| Failure::lasting(format!("the mail cannot be composed: {error}"));
    let mailbox = |field, text: &str| channel::mailbox(field, text).map_err(|error| bad(&error));
    let id_of = |id: &str| format!("<{}@{}>", key_of(id), domain(mail));
    let at = u64::try_from(notification.at_us).unwrap_or_default();
    let mut builder = Message::builder()
        .from(mailbox("from", &mail.from)?)
        .subject(subject(notification))
        // The moment of the alert, so that a mail that was retried for an hour is where it belongs.
        .date(SystemTime::UNIX_EPOCH + Duration::from_micros(at))
        .message_id(Some(id_of(&notification.id)));
    for recipient in &mail.to {
        builder = builder.to(mailbox("to", recipient)?);
    }
    if !notification.opens() {
        let opening = id_of(&notification.thread);
        builder = builder.in_reply_to(opening.clone()).references(opening);
    }
    // No holiday messages in return (RFC 3834).
    for (name, value) in [("Auto-Submitted", "auto-generated"), ("X-Auto-Response-Suppress", "All")] {
        let name = HeaderName::new_from_ascii(name.to_owned()).map_err(|error| bad(&error))?;
        builder = builder.raw_header(HeaderValue::new(name, value.to_owned()));
    }
    let html = HtmlPart::of(notification).render().map_err(|error| bad(&error))?;
    let mut related = MultiPart::related().singlepart(SinglePart::html(html));
    if let Some(picture) = notification.chart.as_ref().and_then(chart::png) {
        let kind = ContentType::parse("image/png").map_err(|error| bad(&error))?;
        related = related.singlepart(Attachment::new_inline(CHART_ID.to_owned()).body(picture, kind));
    }
    let parts = MultiPart::alternative().singlepart(SinglePart::plain(text(notification))).multipart(related);
    builder.multipart(parts).map_err(|error| bad(&error))
}

/// The text part.
fn text(notification: &Notification) -> String {
    let part = HtmlPart::of(notification);
    let mut lines = vec![part.headline, String::new()];
    if !part.first_hosts.is_empty() {
        let more = if part.more_hosts > 0 {
            format!(" and {} more", count(part.more_hosts as u64))
        } else {
            String::new()
        };
        lines.push(format!("Hosts: {}{more}", part.first_hosts.join(", ")));
    }
    lines.extend(part.facts.iter().map(|(name, value)| format!("{name}: {value}")));
    lines.push(format!("At: {}", part.moment));
    if !notification.also.is_empty() {
        lines.extend([String::new(), "Also:".to_owned()]);
        lines.extend(notification.also.iter().map(|title| format!("  - {title}")));
    }
    if part.more_also > 0 {
        lines.push(format!("  - and {} more", count(part.more_also as u64)));
    }
    if !notification.culprits.is_empty() {
        lines.extend([String::new(), "Processes:".to_owned()]);
        lines.extend(notification.culprits.iter().map(|culprit| format!("  - {}", culprit_line(culprit))));
    }
    if part.has_chart {
        lines.extend([String::new(), part.chart_words]);
    }
    lines.push(String::new());
    let runbook = Some(("Runbook", notification.facts.runbook.as_str())).filter(|(_, text)| !text.is_empty());
    let links = runbook.into_iter().chain(notification.links());
    lines.extend(links.map(|(name, value)| format!("{name}: {value}")));
    lines.join("\r\n") + "\r\n"
}

#[cfg(test)]
mod tests {
    use scraper::{Html, Selector};

    use super::*;
    use crate::notify::{channel::Secret, examples};

    fn mail() -> Mail {
        Mail {
            server: "127.0.0.1".to_owned(),
            port: None,
            tls: MailTls::None,
            authority: None,
            user: None,
            password: Secret::default(),
            hello_name: None,
            from: "fleetps <fleetps@example.com>".to_owned(),
            to: vec!["Anna <anna@example.com>".to_owned(), "ops@example.com".to_owned()],
        }
    }

    fn composed(notification: &Notification) -> String {
        String::from_utf8(compose(&mail(), notification).unwrap().formatted()).unwrap()
    }

    /// The names of the mail's own headers.
    fn headers(mail: &str) -> Vec<&str> {
        let (head, _) = mail.split_once("\r\n\r\n").unwrap();
        let lines = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
        lines.map(|line| line.split_once(':').unwrap_or_else(|| panic!("{line:?} is no header")).0).collect()
    }

    #[test]
    fn what_follows_names_the_first_mail_of_its_thread() {
        let (raised, resolved) = (composed(&examples::raised()), composed(&examples::resolved()));
        let header = |mail: &str, name: &str| -> Option<String> {
            let line = mail.lines().find(|line| line.starts_with(&format!("{name}: ")))?;
            line.split_once(": ").map(|(_, value)| value.to_owned())
        };
        let id = header(&raised, "Message-ID").unwrap();
        assert_eq!(id, format!("<{}@example.com>", key_of("0f3a9c-raised")));
        assert_eq!(header(&raised, "In-Reply-To"), None);
        assert_eq!(header(&resolved, "In-Reply-To"), Some(id.clone()));
        assert_eq!(header(&resolved, "References"), Some(id.clone()));
        assert_ne!(header(&resolved, "Message-ID"), Some(id));
        assert_eq!(header(&raised, "Date").unwrap(), "Sat, 28 Nov 2026 14:00:00 +0000");
    }

    #[test]
    fn hostile_words_make_no_header_no_part_and_no_markup() {
        let usual = composed(&examples::raised().cleaned());
        for words in examples::HOSTILE {
            let notification = examples::saying(words).cleaned();
            let mail = composed(&notification);
            assert_eq!(headers(&mail), headers(&usual), "{words}");
            let parts = |mail: &str| mail.matches("\r\nContent-Type: ").count();
            assert_eq!(parts(&mail), parts(&usual), "{words}");
            assert!(!mail.contains("\r\n.\r\n"), "{words}");
            assert!(!subject(&notification).contains("=?"), "{words}");
            let html = HtmlPart::of(&notification).render().unwrap();
            let page = Html::parse_document(&html);
            for forbidden in
                ["script", "img[onerror]", "img:not([src='cid:chart'])", "a:not([href^='https://'])", "b"]
            {
                assert!(
                    page.select(&Selector::parse(forbidden).unwrap()).next().is_none(),
                    "{forbidden}: {words}"
                );
            }
            let rows =
                |html: &str| Html::parse_document(html).select(&Selector::parse("tr").unwrap()).count();
            assert_eq!(
                rows(&html),
                rows(&HtmlPart::of(&examples::saying("x").cleaned()).render().unwrap()),
                "{words}"
            );
            let lines = text(&notification).lines().count();
            assert_eq!(lines, text(&examples::saying("x").cleaned()).lines().count(), "{words}");
        }
    }

    /// `FLEETPS_TEST_MAIL_TO=folder` writes what is to be looked at.
    #[test]
    fn a_mail_has_text_html_and_a_picture() {
        let mail = composed(&examples::raised());
        for part in [
            "multipart/alternative",
            "text/plain",
            "multipart/related",
            "text/html",
            "image/png",
            "Content-ID: <chart>",
        ] {
            assert!(mail.contains(part), "{part} is missing");
        }
        let text = text(&examples::raised());
        assert!(text.contains("  - java (4711, app) 11.2 GiB, +3.1 GiB since 14:00\r\n"), "{text}");
        if let Ok(folder) = std::env::var("FLEETPS_TEST_MAIL_TO") {
            let folder = std::path::Path::new(&folder);
            let mut fleet = examples::raised();
            fleet.subject = Subject::Hosts { count: 512, first: vec!["a-1".to_owned(), "a-2".to_owned()] };
            let many = [("raised", examples::raised()), ("resolved", examples::resolved()), ("fleet", fleet)];
            let hostile = examples::HOSTILE.iter().enumerate();
            let hostile =
                hostile.map(|(number, words)| (format!("hostile-{number}"), examples::saying(words)));
            for (name, notification) in
                many.map(|(name, of)| (name.to_owned(), of)).into_iter().chain(hostile)
            {
                let notification = notification.cleaned();
                std::fs::write(folder.join(format!("{name}.eml")), composed(&notification)).unwrap();
                std::fs::write(
                    folder.join(format!("{name}.html")),
                    HtmlPart::of(&notification).render().unwrap(),
                )
                .unwrap();
                std::fs::write(folder.join(format!("{name}.txt")), super::text(&notification)).unwrap();
                std::fs::write(
                    folder.join("chart.png"),
                    chart::png(notification.chart.as_ref().unwrap()).unwrap(),
                )
                .unwrap();
            }
        }
    }
}
