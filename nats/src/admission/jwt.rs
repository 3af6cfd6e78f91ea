//! NATS's own JWTs, as far as admission needs them: reading the claims of the broker's question, and signing answers.
//!
//! By hand, because the crates that write NATS's JWTs (nats-jwt 0.3.0, nats-io-jwt 0.1.1) know neither the audience nor
//! the claims of an authorization.

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use nkeys::KeyPair;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Signs `claims`, which get the issuer, the time and an id of their own.
///
/// # Errors
/// When the key has no private half.
pub(super) fn sign(mut claims: Value, issuer: &KeyPair, now_s: i64) -> Result<String, nkeys::error::Error> {
    claims["iss"] = json!(issuer.public_key());
    claims["iat"] = json!(now_s);
    claims["jti"] = json!(BASE32_NOPAD.encode(&Sha256::digest(claims.to_string())));
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let encoded = |part: &Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
    let signed = format!("{}.{}", encoded(&header), encoded(&claims));
    let signature = issuer.sign(signed.as_bytes())?;
    Ok(format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)))
}

/// The claims of a JWT from the broker. Its signature is not verified: only the broker itself can publish in the
/// account of admission.
pub(super) fn claims<T: DeserializeOwned>(jwt: &[u8]) -> Option<T> {
    let claims = jwt.split(|byte| *byte == b'.').nth(1)?;
    serde_json::from_slice(&BASE64URL_NOPAD.decode(claims).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_can_be_read_and_its_signature_verified() {
        let issuer = KeyPair::new_account();
        let jwt = sign(json!({"sub": "U", "nats": {"type": "user"}}), &issuer, 7).unwrap();
        let read: Value = claims(jwt.as_bytes()).unwrap();
        assert_eq!((&read["iss"], &read["iat"]), (&json!(issuer.public_key()), &json!(7)));
        assert_eq!(read["nats"]["type"], "user");
        let (signed, signature) = jwt.rsplit_once('.').unwrap();
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        issuer.verify(signed.as_bytes(), &signature).unwrap();
        assert!(KeyPair::new_account().verify(signed.as_bytes(), &signature).is_err());
    }

    #[test]
    fn what_is_no_jwt_has_no_claims() {
        for text in ["", "a", "a.b", "a.!.c", "..", "a.e30"] {
            assert!(claims::<Vec<u8>>(text.as_bytes()).is_none(), "{text}");
        }
    }
}
