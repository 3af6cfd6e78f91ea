//! The configuration of the managed server: three accounts, so that no agent can reach JetStream, and a key for each
//! part. `nats/nats-server.conf` is the same layout for a server run by hand.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    Part, ServerError, ServerSettings,
    keys::{self, Keys},
};
use crate::subject;

const TEMPLATE: &str = include_str!("managed.conf");

/// The server's files.
#[derive(Debug, Clone)]
pub(super) struct Files {
    /// Its configuration.
    pub(super) config: PathBuf,
    /// Its log.
    pub(super) log: PathBuf,
    /// Where it says which ports it got, and where the client port is remembered.
    pub(super) ports: PathBuf,
    /// Its store.
    store: PathBuf,
}

impl Files {
    /// The files in the server's own folder.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self {
            config: folder.join("nats-server.conf"),
            log: folder.join("nats-server.log"),
            ports: folder.join("ports"),
            store: folder.join("jetstream"),
        }
    }

    /// Where the client port is remembered, so that it stays the same.
    pub(super) fn remembered_port(&self) -> PathBuf {
        self.ports.join("client")
    }
}

/// Writes the configuration.
pub(super) fn write(files: &Files, settings: &ServerSettings, keys: &Keys) -> Result<(), ServerError> {
    keys::make_private_folder(&files.ports)?;
    let text = render(files, settings, keys)?;
    fs::write(&files.config, text).map_err(ServerError::file(&files.config))
}

fn render(files: &Files, settings: &ServerSettings, keys: &Keys) -> Result<String, ServerError> {
    let host = settings.host.as_str();
    let simulator = if settings.simulator {
        format!(
            "{{ nkey: {}, permissions: {{ publish: [\"{}\"], subscribe: [\"_INBOX_simulator.>\"] }} }}",
            keys.public(Part::Simulator)?,
            subject::ALL_SNAPSHOTS
        )
    } else {
        String::new()
    };
    let values = [
        ("{store}", quoted(&files.store)),
        ("{log}", quoted(&files.log)),
        ("{max_file_store_bytes}", settings.max_file_store_bytes.to_string()),
        ("{auth}", keys.public(Part::Auth)?),
        ("{ingestor}", keys.public(Part::Ingestor)?),
        ("{api}", keys.public(Part::Api)?),
        ("{agent}", keys.public(Part::Agent)?),
        ("{simulator}", simulator),
        ("{system}", keys.public(Part::System)?),
        ("{host}", host.to_owned()),
    ];
    Ok(values.iter().fold(TEMPLATE.to_owned(), |text, (name, value)| text.replace(name, value)))
}

/// A path as a string of the configuration's language.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{text}\"")
}
