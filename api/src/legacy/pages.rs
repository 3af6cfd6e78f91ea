//! Files of a folder of the operator's: the page of system 001 asks its own origin, so it has to come from here.
//!
//! Only regular files that lie in the folder itself are served, and without the content security policy of fleetps' own
//! pages: a page of an older system has scripts in it and loads others from elsewhere.

use std::{path::PathBuf, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{Fault, Legacy};

/// The largest file: a page with its pictures in it.
const MAX_BYTES: u64 = 4 << 20;

/// A file of the folder, or 404.
pub(super) async fn file(State(legacy): State<Arc<Legacy>>, request: Request) -> Result<Response, Fault> {
    let not_found = || Fault::new(StatusCode::NOT_FOUND, "not-found", "Not Found");
    let folder =
        legacy.settings.pages.as_ref().filter(|_| request.method() == Method::GET).ok_or_else(not_found)?;
    let name = match request.uri().path().trim_start_matches('/') {
        "" => "index.html",
        name => name,
    };
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if name.starts_with('.') || !name.chars().all(is_plain) {
        return Err(not_found());
    }
    let kind = match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        _ => "application/octet-stream",
    };
    let path = folder.join(name);
    let reading = tokio::task::spawn_blocking(move || read(path)).await;
    let content = reading.ok().flatten().ok_or_else(not_found)?;
    Ok(([(header::CONTENT_TYPE, kind)], content).into_response())
}

fn read(path: PathBuf) -> Option<Vec<u8>> {
    let about = std::fs::symlink_metadata(&path).ok()?;
    if !about.is_file() || about.len() > MAX_BYTES {
        return None;
    }
    std::fs::read(path).ok()
}
