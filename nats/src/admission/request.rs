//! The broker's request: which host connects, and does it hold the key that it names?

use data_encoding::BASE64URL_NOPAD;
use nkeys::{KeyPair, KeyPairType};
use serde::Deserialize;

use super::{Denial, jwt, waiting::network_of};
use crate::{HostName, host::MAX_HOST_BYTES};

/// The broker's request, as far as it is needed. The broker's own document on it (ADR-26) names some fields
/// differently.
#[derive(Debug, Deserialize)]
pub(super) struct Question {
    nats: AuthRequest,
}

#[derive(Debug, Deserialize)]
struct AuthRequest {
    server_id: Server,
    /// A key that the broker made for this connection; the answer must name it.
    user_nkey: String,
    client_info: Client,
    #[serde(default)]
    connect_opts: Offered,
}

#[derive(Debug, Deserialize)]
struct Server {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Client {
    #[serde(default)]
    host: String,
    #[serde(default)]
    nonce: String,
}

/// The client's claims about itself: unverified.
#[derive(Debug, Default, Deserialize)]
struct Offered {
    #[serde(default)]
    nkey: String,
    #[serde(default)]
    sig: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    pass: String,
}

/// A client that has shown that it holds the key.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    pub(super) host: HostName,
    pub(super) key: String,
    /// The network that it connects from.
    pub(super) network: String,
    /// The enrolment token, where it brought one.
    pub(super) token: Option<String>,
}

impl Question {
    /// Reads what the broker sent; `None` for anything else.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        jwt::claims(payload)
    }

    /// The connection that the answer is about.
    pub(super) fn connection(&self) -> &str {
        &self.nats.user_nkey
    }

    /// Which broker asks.
    pub(super) fn server(&self) -> &str {
        &self.nats.server_id.id
    }

    /// Where the client connects from.
    pub(super) fn address(&self) -> &str {
        &self.nats.client_info.host
    }

    /// The name that the client gives, as it is: for a log, shortened and escaped.
    pub(super) fn claimed_name(&self) -> String {
        self.nats.connect_opts.user.chars().take(MAX_HOST_BYTES).collect()
    }

    /// The host and key of the client, if it signed the broker's challenge with that key. The broker does not verify
    /// the signature of a key that it does not know.
    pub(super) fn claimant(&self) -> Result<Credentials, Denial> {
        let AuthRequest { client_info, connect_opts, .. } = &self.nats;
        let key = KeyPair::from_public_key(&connect_opts.nkey).map_err(|_| Denial::NoKey)?;
        if key.key_pair_type() != KeyPairType::User || client_info.nonce.is_empty() {
            return Err(Denial::NoKey);
        }
        let signature =
            BASE64URL_NOPAD.decode(connect_opts.sig.as_bytes()).map_err(|_| Denial::BadSignature)?;
        key.verify(client_info.nonce.as_bytes(), &signature).map_err(|_| Denial::BadSignature)?;
        Ok(Credentials {
            host: connect_opts.user.parse().map_err(|_| Denial::BadName)?,
            // As the key itself writes it, so that one key has one spelling.
            key: key.public_key(),
            network: network_of(&client_info.host),
            token: Some(connect_opts.pass.clone()).filter(|token| !token.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn question(nkey: &str, sig: &str, user: &str) -> Question {
        let client = json!({"host": "10.0.0.1", "nonce": "the nonce"});
        let offered = json!({"nkey": nkey, "sig": sig, "user": user, "pass": "t", "name": "x"});
        let asked = json!({"server_id": {"id": "N"}, "user_nkey": "UX", "client_info": client, "connect_opts": offered});
        serde_json::from_value(json!({"nats": asked})).unwrap()
    }

    fn signed(key: &KeyPair, nonce: &str) -> String {
        BASE64URL_NOPAD.encode(&key.sign(nonce.as_bytes()).unwrap())
    }

    #[test]
    fn only_the_holder_of_the_key_is_a_claimant() {
        let (key, other) = (KeyPair::new_user(), KeyPair::new_user());
        let public = key.public_key();
        let good = question(&public, &signed(&key, "the nonce"), "web-01").claimant().unwrap();
        assert_eq!(
            (good.host.as_str(), good.key, good.token),
            ("web-01", public.clone(), Some("t".to_owned()))
        );
        for (nkey, sig, refusal) in [
            (&public, signed(&other, "the nonce"), Denial::BadSignature),
            (&public, signed(&key, "another nonce"), Denial::BadSignature),
            (&public, String::new(), Denial::BadSignature),
            (&public, "!".to_owned(), Denial::BadSignature),
            (&String::new(), signed(&key, "the nonce"), Denial::NoKey),
            (&KeyPair::new_account().public_key(), signed(&key, "the nonce"), Denial::NoKey),
        ] {
            let given = question(nkey, &sig, "web-01").claimant().unwrap_err();
            assert_eq!(given.to_string(), refusal.to_string());
        }
    }

    #[test]
    fn a_name_that_means_several_hosts_is_refused() {
        let key = KeyPair::new_user();
        for user in ["", "*", ">", "a..b", "a.", "a.*", "a b", "web-01.>", "ü", &"x".repeat(254)] {
            let refused = question(&key.public_key(), &signed(&key, "the nonce"), user).claimant();
            assert!(matches!(refused, Err(Denial::BadName)), "{user:?}");
        }
    }

    #[test]
    fn anything_else_is_no_question() {
        for value in [json!({}), json!({"nats": {"user_nkey": "U"}}), Value::Null] {
            let jwt = format!("e30.{}.x", BASE64URL_NOPAD.encode(value.to_string().as_bytes()));
            assert!(Question::read(jwt.as_bytes()).is_none(), "{value}");
        }
        assert!(Question::read(b"\xff\x00").is_none());
    }
}
