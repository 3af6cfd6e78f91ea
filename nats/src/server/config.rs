//! The configuration of the managed server: three accounts, so that no agent can reach JetStream, and a key for each
//! part. `nats/nats-server.conf` is the same layout for a server run by hand.

use std::path::{Path, PathBuf};

use super::{
    Part, ServerError, ServerSettings,
    keys::{self, Keys},
    local::LocalConnection,
};
use crate::{file, subject};

const TEMPLATE: &str = include_str!("managed.conf");
/// Each of ten thousand hosts has one, and more than half of them come back at once after a network was cut, before the old
/// ones are known to be gone.
const MAX_CONNECTIONS: u64 = 16_384;
/// Files that the store has open: two for each of its blocks that is in use, of streams and buckets.
const KEPT_DESCRIPTORS: u64 = 4_096;

const BY_HAND: &str = include_str!("../../nats-server.conf");

/// The server's files.
#[derive(Debug, Clone)]
pub(super) struct Files {
    /// Its configuration.
    pub(super) config: PathBuf,
    /// Its log.
    pub(super) log: PathBuf,
    /// Where the client port is remembered.
    ports: PathBuf,
    /// How the parts on this machine reach it, for other processes.
    way: PathBuf,
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
            way: folder.join("way.json"),
            store: folder.join("jetstream"),
        }
    }

    /// Its store.
    pub(super) fn store(&self) -> &Path {
        &self.store
    }

    /// Where the client port is remembered, so that it stays the same.
    pub(super) fn remembered_port(&self) -> PathBuf {
        self.ports.join("client")
    }
}

/// Writes the configuration, unless it is there already.
pub(super) fn write(files: &Files, settings: &ServerSettings, keys: &Keys) -> Result<(), ServerError> {
    keys::make_private_folder(&files.ports)?;
    let text = render(files, settings, keys)?;
    file::replace(&files.config, text.as_bytes()).map_err(ServerError::file(&files.config))?;
    // Paths always become JSON, as far as they are Unicode.
    let way = serde_json::to_vec(&LocalConnection::to(settings)).unwrap_or_default();
    file::replace(&files.way, &way).map_err(ServerError::file(&files.way))
}

/// How the parts on this machine reach the server that was started last in these files.
pub(super) fn way_in(files: &Files) -> LocalConnection {
    let written = file::read(&files.way).ok();
    written.and_then(|written| serde_json::from_slice(&written).ok()).unwrap_or_default()
}

/// The block about TLS; none where it is not spoken.
fn tls(settings: &ServerSettings) -> String {
    let tls = settings.public.as_ref().and_then(|public| public.tls.as_ref());
    tls.map_or_else(String::new, |tls| {
        format!(
            "tls {{\n  cert_file: {}\n  key_file: {}\n  ca_file: {}\n  verify: {}\n  min_version: \"1.3\"\n  timeout: 5\n}}",
            quoted(&tls.certificate),
            quoted(&tls.key),
            quoted(&tls.authority),
            tls.clients.is_some(),
        )
    })
}

fn render(files: &Files, settings: &ServerSettings, keys: &Keys) -> Result<String, ServerError> {
    let (simulator, simulator_key) = if settings.simulator {
        let key = keys.public(Part::Simulator)?;
        let subjects = subject::ALL_SNAPSHOTS;
        let user = format!(
            "{{ nkey: {key}, permissions: {{ publish: [\"{subjects}\"], subscribe: [\"_INBOX_simulator.>\"] }} }}"
        );
        (user, format!(", {key}"))
    } else {
        Default::default()
    };
    let values = [
        ("{store}", quoted(&files.store)),
        ("{tls}", tls(settings)),
        ("{log}", quoted(&files.log)),
        ("{max_file_store_bytes}", settings.max_file_store_bytes.to_string()),
        ("{max_connections}", max_connections(descriptors()).to_string()),
        ("{auth}", keys.public(Part::Auth)?),
        ("{ingestor}", keys.public(Part::Ingestor)?),
        ("{api}", keys.public(Part::Api)?),
        ("{simulator}", simulator),
        ("{simulator_key}", simulator_key),
        ("{issuer}", keys.public(Part::Issuer)?),
        ("{system}", keys.public(Part::System)?),
    ];
    Ok(values.iter().fold(TEMPLATE.to_owned(), |text, (name, value)| text.replace(name, value)))
}

/// The connection limit: the server's open files, less those that its store needs.
fn max_connections(descriptors: Option<u64>) -> u64 {
    let descriptors = descriptors.unwrap_or(u64::MAX);
    (descriptors - KEPT_DESCRIPTORS.min(descriptors / 2)).min(MAX_CONNECTIONS)
}

/// The files that the server may open: it raises its limit to the hard one by itself.
#[cfg(unix)]
fn descriptors() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum
}

#[cfg(not(unix))]
fn descriptors() -> Option<u64> {
    None
}

/// The configuration of a server run by hand, with the keys in `folder`; makes the folder and the keys that are missing.
///
/// # Errors
/// When the folder cannot be written or a key cannot be read.
pub fn by_hand(folder: &Path) -> Result<String, ServerError> {
    let values = [
        ("UD_PUBLIC_KEY_OF_ADMISSION", Part::Auth),
        ("UD_PUBLIC_KEY_OF_THE_INGESTOR", Part::Ingestor),
        ("UD_PUBLIC_KEY_OF_THE_WEB_SERVER", Part::Api),
        ("UD_PUBLIC_KEY_OF_THE_SYSTEM", Part::System),
        ("AD_PUBLIC_KEY_OF_THE_ISSUER", Part::Issuer),
    ];
    let parts: Vec<Part> = values.iter().map(|(_, part)| *part).chain([Part::Control]).collect();
    let keys = Keys::load_or_make(folder, &parts)?;
    values
        .iter()
        .try_fold(BY_HAND.to_owned(), |text, (name, part)| Ok(text.replace(name, &keys.public(*part)?)))
}

/// A path as a string of the configuration's language.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;
    use crate::server::find;

    /// The lines that say which subjects cross between accounts, and how much agents may do.
    fn crossings(config: &str) -> Vec<String> {
        let lines = config.lines().map(|line| line.trim().to_owned());
        lines
            .filter(|line| {
                line.contains("account: ") || line.contains("accounts: [") || line.contains("limits: ")
            })
            .collect()
    }

    #[test]
    fn connections_leave_the_store_its_files() {
        for (descriptors, connections) in [
            (Some(0), 0),
            (Some(1_024), 512),
            (Some(20_000), 15_904),
            (Some(1 << 20), 16_384),
            (None, 16_384),
        ] {
            assert_eq!(max_connections(descriptors), connections, "{descriptors:?}");
        }
    }

    #[test]
    fn the_server_by_hand_lets_the_same_subjects_cross_as_the_managed_one() {
        assert!(crossings(TEMPLATE).len() > 10);
        assert_eq!(crossings(BY_HAND), crossings(TEMPLATE));
    }

    #[test]
    fn the_server_by_hand_starts_when_the_keys_are_filled_in() {
        let folder = tempfile::tempdir().unwrap();
        let filled = by_hand(&folder.path().join("keys")).unwrap();
        assert!(!filled.contains("_PUBLIC_KEY_"), "{filled}");
        let file = folder.path().join("nats-server.conf");
        fs::write(&file, filled).unwrap();
        let program = find::find_or_install(None, &|_| {}).unwrap();
        let output = Command::new(program).arg("-t").arg("-c").arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
