//! Secrets that are known by their shape: private keys, passwords in URLs, tokens.

use std::borrow::Cow;

use super::HIDDEN;

const KEY_BEGIN: &str = "-----BEGIN ";
const KEY_END: &str = "-----END ";

/// How a vendor's tokens start, and how long they are at least, so that `sk-learn` is none.
const TOKENS: &[(&str, usize)] = &[
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("ghr_", 20),
    ("github_pat_", 30),
    ("glpat-", 20),
    ("glsa_", 20),
    ("glrt-", 20),
    ("gldt-", 20),
    ("xoxb-", 20),
    ("xoxp-", 20),
    ("xoxa-", 20),
    ("xoxr-", 20),
    ("xoxs-", 20),
    ("xapp-", 20),
    ("sk_live_", 20),
    ("sk_test_", 20),
    ("rk_live_", 20),
    ("rk_test_", 20),
    ("whsec_", 20),
    ("sk-ant-", 20),
    ("sk-proj-", 20),
    ("sk-", 35),
    ("npm_", 30),
    ("pypi-", 40),
    ("dop_v1_", 30),
    ("doo_v1_", 30),
    ("hvs.", 20),
    ("hvb.", 20),
    ("shpat_", 30),
    ("shpss_", 30),
    ("dckr_pat_", 20),
    ("hf_", 30),
    ("tskey-", 20),
    ("lin_api_", 20),
    ("figd_", 20),
    ("SG.", 40),
    ("ya29.", 20),
    ("AIza", 39),
    ("AGE-SECRET-KEY-1", 40),
    ("ATATT3", 40),
    ("xoxe-", 20),
    ("xoxe.", 20),
    ("glptt-", 20),
    ("gloas-", 20),
    ("glft-", 20),
    ("gsk_", 30),
    ("nvapi-", 30),
    ("sq0csp-", 20),
    ("sq0atp-", 20),
    ("NRAK-", 20),
    ("PMAK-", 30),
    ("rubygems_", 30),
    ("CFPAT-", 30),
    ("shpca_", 30),
    ("shppa_", 30),
    ("hvr.", 20),
];

/// The text with private keys in it replaced, from their first line to their last.
pub(super) fn without_private_keys(text: &str) -> Cow<'_, str> {
    let (mut hidden, mut rest) = (String::new(), text);
    while let Some(begin) = rest.find(KEY_BEGIN).filter(|begin| rest[*begin..].contains("PRIVATE KEY")) {
        hidden.push_str(&rest[..begin]);
        hidden.push_str(HIDDEN);
        let after_end = rest[begin..].find(KEY_END).map(|end| begin + end + KEY_END.len());
        rest = after_end.map_or("", |start| rest[start..].split_once("-----").map_or("", |(_, rest)| rest));
    }
    if hidden.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(hidden + rest) }
}

/// `scheme://user:password@host` with the password hidden; `None` when there is none in it.
pub(super) fn hide_url_password(word: &str) -> Option<String> {
    let start = word.find("://")? + 3;
    let end = word[start..].find(['/', '#']).map_or(word.len(), |length| start + length);
    // A password may hold an @ or, wrongly, a slash: the last @ before the path counts, and failing that the last one.
    let at = word[start..end].rfind('@').or_else(|| word[start..].rfind('@'))? + start;
    let colon = word[start..at].find(':')? + start;
    (colon + 1 < at).then(|| format!("{}{HIDDEN}{}", &word[..=colon], &word[at..]))
}

/// The text with the passwords of `scheme://user:password@host` hidden, where they have delimiters of words in them, too.
pub(super) fn without_url_passwords(text: &str) -> Cow<'_, str> {
    let (mut hidden, mut done, mut from) = (String::new(), 0, 0);
    while let Some(start) = text[from..].find("://").map(|start| from + start + 3) {
        let ends = |letter: char| letter.is_whitespace() || "/?#\"'<>`".contains(letter);
        let authority = &text[start..text[start..].find(ends).map_or(text.len(), |end| start + end)];
        from = start;
        let Some(at) = authority.rfind('@') else { continue };
        if let Some(colon) = authority[..at].find(':').filter(|colon| colon + 1 < at) {
            hidden.push_str(&text[done..=start + colon]);
            hidden.push_str(HIDDEN);
            done = start + at;
        }
        from = start + at;
    }
    if done == 0 { Cow::Borrowed(text) } else { Cow::Owned(hidden + &text[done..]) }
}

/// The word with a token in it hidden.
pub(super) fn hide_token(word: &str) -> Cow<'_, str> {
    if let Some(hook) = ["hooks.slack.com/services/", "discord.com/api/webhooks/"]
        .iter()
        .find_map(|hook| word.find(hook).map(|start| start + hook.len()))
    {
        return Cow::Owned(format!("{}{HIDDEN}", &word[..hook]));
    }
    if is_token(word) {
        return Cow::Borrowed(HIDDEN);
    }
    // `--header=ghp_…`, `https://ghp_…@host`.
    let mut start = 0;
    for part in word.split(['=', '/', '@', ':']) {
        if is_token(part) {
            return Cow::Owned(format!("{}{HIDDEN}{}", &word[..start], &word[start + part.len()..]));
        }
        start += part.len() + 1;
    }
    Cow::Borrowed(word)
}

fn is_token(word: &str) -> bool {
    let has_token_characters =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.+/=~".contains(&byte));
    let by_vendor = TOKENS.iter().any(|(start, length)| {
        word.len() >= *length && word.starts_with(start) && has_token_characters(word)
    });
    by_vendor || is_web_token(word) || is_aws_key(word) || is_nkey_seed(word) || is_telegram_token(word)
}

/// A JSON web token: three parts, the first being base64 of `{"`.
fn is_web_token(word: &str) -> bool {
    word.starts_with("eyJ") && word.len() >= 30 && word.bytes().filter(|byte| *byte == b'.').count() == 2
}

fn is_aws_key(word: &str) -> bool {
    let starts = ["AKIA", "ASIA", "AROA", "AIDA"].iter().any(|start| word.starts_with(start));
    starts && word.len() == 20 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// The seed of a NATS key: S, the kind, and base32.
fn is_nkey_seed(word: &str) -> bool {
    word.len() == 58
        && ["SU", "SA", "SO", "SN", "SC", "SX"].iter().any(|start| word.starts_with(start))
        && word.bytes().all(|byte| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte))
}

fn is_telegram_token(word: &str) -> bool {
    word.split_once(':').is_some_and(|(number, rest)| {
        (8..=10).contains(&number.len())
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && rest.len() == 35
    })
}

/// Whether a word after `Bearer` or `Basic` is a credential and not the rest of a sentence: long, and not just small
/// letters.
pub(super) fn looks_like_a_credential(word: &str) -> bool {
    word.len() >= 8
        && word
            .bytes()
            .any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase() || b"=._".contains(&byte))
}
