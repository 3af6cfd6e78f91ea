//! One post: to addresses that may be reached, without redirects or proxies, with a bounded answer.

use std::time::Duration;

use ipnet::IpNet;
use jiff::{Timestamp, fmt::rfc2822};
use ureq::{
    Agent,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
    unversioned::transport::DefaultConnector,
};

use super::address::{CheckedResolver, NotAllowed, parse_url};
use crate::notify::failure::{Again, Failure, Sent};

/// The most that is read of an answer, and of its headers.
const MAX_ANSWER_BYTES: u64 = 64 << 10;
/// The longest pause that a receiver can ask for: a day of silence would end every attempt.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// A post.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// Certificate authorities in PEM, in the place of the public ones.
    pub(super) authority: Option<String>,
    /// Whether the answer's text is read.
    pub(super) reads_answer: bool,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    /// Empty where it was not to be read, or is too long.
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// What the status says.
    pub(super) fn judge(&self) -> Result<Sent, Failure> {
        let status = self.status;
        match status {
            200..=299 => Ok(Sent::default()),
            300..=399 => Err(Failure::lasting(format!(
                "the receiver answered {status}, a redirect, which is not followed; give the address that it leads to"
            ))),
            408 | 425 | 429 | 500..=599 => {
                let again = self.retry_after.map_or(Again::Later, Again::After);
                Err(Failure::new(format!("the receiver answered {status}"), again))
            }
            _ => Err(Failure::lasting(format!(
                "the receiver answered {status}; check the channel's address and secret"
            ))),
        }
    }
}

/// Posts, on a thread that may wait.
///
/// # Errors
/// When the address may not be reached, or nothing answers within `limit`.
pub(super) async fn post(post: Post, networks: Vec<IpNet>, limit: Duration) -> Result<Answer, Failure> {
    let posted = tokio::task::spawn_blocking(move || post_and_wait(&post, networks, limit));
    posted.await.unwrap_or_else(|_| Err(Failure::passing("the thread that posts ended")))
}

fn post_and_wait(post: &Post, networks: Vec<IpNet>, limit: Duration) -> Result<Answer, Failure> {
    let url = parse_url(&post.url).ok_or_else(|| Failure::lasting("the channel's address is none"))?;
    let mut tls = TlsConfig::builder();
    if let Some(authority) = &post.authority {
        tls = tls.root_certs(roots(authority)?);
    }
    let config = Agent::config_builder()
        .timeout_global(Some(limit))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        // A proxy would connect to addresses that nobody checked.
        .proxy(None)
        .max_idle_connections(0)
        .max_response_header_size(MAX_ANSWER_BYTES as usize)
        .user_agent(concat!("fleetps/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.build())
        .build();
    let agent = Agent::with_parts(config, DefaultConnector::default(), CheckedResolver { networks });
    let request = agent.post(url).header("content-type", "application/json; charset=utf-8");
    let request = post.headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
    let mut answer = request.send(&post.body[..]).map_err(|error| failure(&error))?;
    let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|text| parse_retry_after(text, Timestamp::now()));
    let body = match post.reads_answer {
        true => answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec().unwrap_or_default(),
        false => Vec::new(),
    };
    Ok(Answer { status: answer.status().as_u16(), retry_after, body })
}

/// Certificate authorities in PEM.
fn roots(authority: &str) -> Result<RootCerts, Failure> {
    let certificates: Vec<Certificate<'static>> = parse_pem(authority.as_bytes())
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    match certificates.is_empty() {
        true => Err(Failure::lasting("the channel's `authority` holds no certificate in PEM")),
        false => Ok(RootCerts::from(certificates)),
    }
}

/// A failure without an answer. The receiver's words are not in it.
fn failure(error: &ureq::Error) -> Failure {
    match error {
        ureq::Error::Other(inner) => match inner.downcast_ref::<NotAllowed>() {
            Some(refused) => Failure::lasting(refused.to_string()),
            None => Failure::passing(format!("cannot reach the receiver: {error}")),
        },
        ureq::Error::Http(_) | ureq::Error::BadUri(_) => {
            // The error may name the address, which may be a secret.
            Failure::lasting("the channel's address or headers cannot be sent")
        }
        ureq::Error::Timeout(_) => Failure::passing("the receiver did not answer in time"),
        _ => Failure::passing(format!("cannot reach the receiver: {error}")),
    }
}

/// `Retry-After`: seconds, or a date.
fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let after = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() => Duration::MAX,
        Err(_) => {
            let at = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            Duration::try_from(at.duration_since(now)).unwrap_or_default()
        }
    };
    Some(after.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let now = "2015-10-21T07:27:00Z".parse().unwrap();
        for (text, seconds) in [
            ("0", Some(0)),
            (" 7 ", Some(7)),
            ("99999999999999999999999", Some(3600)),
            ("86400", Some(3600)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(60)),
            ("Wed, 21 Oct 2015 07:20:00 GMT", Some(0)),
            ("Wed, 21 Oct 2065 07:28:00 GMT", Some(3600)),
            ("", None),
            ("-5", None),
            ("soon", None),
        ] {
            assert_eq!(parse_retry_after(text, now), seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn a_status_says_whether_to_try_again() {
        let judge = |status| {
            Answer { status, retry_after: None, body: Vec::new() }.judge().map_err(|failure| failure.again)
        };
        for status in [200, 202, 204] {
            assert_eq!(judge(status), Ok(Sent::default()), "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503, 599] {
            assert_eq!(judge(status), Err(Again::Later), "{status}");
        }
        for status in [301, 307, 308, 400, 401, 403, 404, 410, 422] {
            assert_eq!(judge(status), Err(Again::Never), "{status}");
        }
        let limited = Answer { status: 429, retry_after: Some(Duration::from_secs(9)), body: Vec::new() };
        assert_eq!(limited.judge().unwrap_err().again, Again::After(Duration::from_secs(9)));
    }
}
