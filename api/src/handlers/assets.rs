//! Styles, scripts and the icon: embedded in the binary, under a name that changes with their content, so a browser
//! may keep them for ever.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::LazyLock,
};

use axum::{
    extract::Path,
    http::{HeaderName, header},
    response::IntoResponse,
};
use rust_embed::RustEmbed;

use crate::{refusal::Refusal, url::Url};

/// Every file of the folder.
#[derive(RustEmbed)]
#[folder = "../templates/assets"]
pub(crate) struct Assets;

/// One hash for all: modules name each other by relative addresses, so they travel together.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    for path in Assets::iter() {
        path.hash(&mut hasher);
        if let Some(file) = Assets::get(&path) {
            file.data.hash(&mut hasher);
        }
    }
    format!("{:016x}", hasher.finish())
});

/// Where the assets of this build are.
pub(crate) fn prefix() -> String {
    Url::assets(&VERSION).to_string()
}

/// One asset.
pub(crate) async fn file(
    Path((version, file)): Path<(String, String)>,
) -> Result<impl IntoResponse, Refusal> {
    let missing = || Refusal::no_such_path(Url::asset(&version, &file).path());
    if version != *VERSION {
        return Err(missing());
    }
    let found = Assets::get(&file).ok_or_else(missing)?;
    let kind = kind_of(&file).ok_or_else(missing)?;
    Ok((headers(kind, "public, max-age=31536000, immutable"), found.data.into_owned()))
}

/// Browsers ask for this address even if the page names another.
pub(crate) async fn icon() -> Result<impl IntoResponse, Refusal> {
    let found = Assets::get("icon.svg").ok_or_else(|| Refusal::no_such_path("/favicon.ico"))?;
    Ok((headers("image/svg+xml", "public, max-age=86400"), found.data.into_owned()))
}

fn headers(kind: &'static str, cache: &'static str) -> [(HeaderName, &'static str); 2] {
    [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache)]
}

fn kind_of(file: &str) -> Option<&'static str> {
    match file.rsplit_once('.')?.1 {
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_embedded_and_has_a_kind() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../templates/assets");
        let mut files = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            assert!(entry.file_type().unwrap().is_file(), "{name}: the assets are one flat folder");
            let embedded = Assets::get(&name).unwrap_or_else(|| panic!("{name} is not embedded"));
            assert_eq!(embedded.data.as_ref(), std::fs::read(entry.path()).unwrap(), "{name}");
            assert!(kind_of(&name).is_some(), "{name} has no content type");
            files += 1;
        }
        assert_eq!(files, Assets::iter().count());
    }
}
