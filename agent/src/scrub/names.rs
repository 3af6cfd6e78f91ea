//! Which names sound like a secret's.

/// Words that make a name a secret's wherever they stand in it.
const SECRET_WORDS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passwort",
    "pass",
    "pwd",
    "pw",
    "secret",
    "secrets",
    "token",
    "credential",
    "credentials",
    "creds",
    "bearer",
    "jwt",
    "otp",
    "psk",
    "kennwort",
];
/// Compounds, letters and digits only, found anywhere in the name: `apiKey`, `api_key` and `API-KEY` are one.
const SECRET_COMPOUNDS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "apikey",
    "appkey",
    "accesskey",
    "secretkey",
    "privatekey",
    "authkey",
    "signingkey",
    "encryptionkey",
    "masterkey",
    "clientsecret",
    "appsecret",
    "storepass",
    "keypass",
    "authtoken",
    "accesstoken",
    "refreshtoken",
    "sessiontoken",
    "bearertoken",
    "connectionstring",
    "accountkey",
    "sharedaccesskey",
    "sharedaccesssignature",
    "amzsignature",
    "apitoken",
    "apisecret",
    "usertoken",
    "requirepass",
    "masterauth",
    "passcode",
];
/// Names that are a secret's only as they are: of signed links, and of npm.
const SECRET_NAMES: &[&str] = &["sig", "_auth"];
/// Last words that turn the name into something about the secret: where it is, how long it may be.
const HARMLESS_LAST_WORDS: [&str; 35] = [
    "file",
    "files",
    "path",
    "dir",
    "directory",
    "name",
    "names",
    "id",
    "ids",
    "prompt",
    "stdin",
    "fd",
    "env",
    "length",
    "len",
    "size",
    "ttl",
    "timeout",
    "expiry",
    "expires",
    "lifetime",
    "policy",
    "type",
    "url",
    "uri",
    "endpoint",
    "issuer",
    "provider",
    "manager",
    "store",
    "count",
    "limit",
    "rotation",
    "algorithm",
    "format",
];

/// Whether the value of this name is a secret. Dashes, dots, underscores and capitals separate words.
pub(super) fn is_secret(name: &str) -> bool {
    // Long names are no names.
    if name.len() > 128 {
        return false;
    }
    if SECRET_NAMES.iter().any(|secret| secret.eq_ignore_ascii_case(name)) {
        return true;
    }
    if !has_secret_letters(name) {
        return false;
    }
    let words = words_of(name);
    let Some(last) = words.last() else { return false };
    if HARMLESS_LAST_WORDS.contains(&last.as_str()) {
        return false;
    }
    if words.iter().any(|word| SECRET_WORDS.contains(&word.as_str())) {
        return true;
    }
    let joined = words.concat();
    SECRET_COMPOUNDS.iter().any(|compound| joined.contains(compound))
}

/// Whether letters occur that some word or compound above begins with or contains: most names have none of them, and each
/// word of a command line is asked for.
fn has_secret_letters(name: &str) -> bool {
    let (mut before, mut last) = (0, 0);
    name.bytes().filter(u8::is_ascii_alphanumeric).any(|byte| {
        let byte = byte.to_ascii_lowercase();
        let three = [std::mem::replace(&mut before, last), std::mem::replace(&mut last, byte), byte];
        matches!(&three[1..], b"pw")
            || matches!(
                &three,
                b"pas"
                    | b"sec"
                    | b"tok"
                    | b"cre"
                    | b"key"
                    | b"bea"
                    | b"jwt"
                    | b"otp"
                    | b"psk"
                    | b"ken"
                    | b"con"
                    | b"sha"
                    | b"amz"
                    | b"aut"
            )
    })
}

fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut previous_is_lower = false;
    for character in name.chars() {
        let starts_word = character.is_ascii_uppercase() && previous_is_lower;
        previous_is_lower = character.is_ascii_lowercase();
        if starts_word || !character.is_ascii_alphanumeric() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| character.is_ascii_alphanumeric()) {
            word.push(character.to_ascii_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// HTTP headers whose whole value is a secret, with or without a scheme before it.
pub(super) fn is_authorization(name: &str) -> bool {
    ["authorization", "proxy-authorization", "cookie", "set-cookie"]
        .iter()
        .any(|header| header.eq_ignore_ascii_case(name))
}

/// The schemes of `Authorization: …`.
pub(super) fn is_scheme(word: &str) -> bool {
    ["bearer", "basic", "digest", "token", "negotiate", "apikey"]
        .iter()
        .any(|scheme| scheme.eq_ignore_ascii_case(word))
}

/// The schemes that are followed by a credential even where no header's name stands before them.
pub(super) fn is_credential_scheme(word: &str) -> bool {
    word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_and_compound_is_a_secret_in_any_spelling() {
        for name in SECRET_WORDS.iter().chain(SECRET_COMPOUNDS).chain(SECRET_NAMES) {
            assert!(is_secret(name) && is_secret(&name.to_uppercase()), "{name}");
            let is_word = !SECRET_NAMES.contains(name);
            assert!(!is_word || is_secret(&format!("--x.{name}")), "{name}");
        }
        for apart in ["pa-ssword", "API.KEY", "con_nection-string"] {
            assert!(is_secret(apart), "{apart}");
        }
    }
}
