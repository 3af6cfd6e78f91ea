//! Which names sound like a secret's.

/// Words that make a name a secret's wherever they stand in it.
const SECRET_WORDS: [&str; 13] = [
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
];
/// Compounds, letters and digits only, found anywhere in the name: `apiKey`, `api_key` and `API-KEY` are one.
const SECRET_COMPOUNDS: [&str; 22] = [
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
];
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
