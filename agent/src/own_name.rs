//! The name that this host has in the fleet: the one in its settings, else the machine's own.
//!
//! Earlier versions wrote the dots of a machine's own name as `_`, so `db.example.com` was admitted as `db_example_com`. Such
//! a host goes on under that name: a new one would make it two hosts, of which one is down for ever. Three things tell that an
//! earlier version ran here: the name that is kept in the state folder, the boot time that earlier versions kept there, and,
//! where the state folder is new but the key is not, the broker.

use std::{fs, io, path::Path};

use fleetps_nats::{HostName, connection::Broker, file};

use crate::sample::os_host_name;

/// Where the name is kept, in the state folder.
const NAME_FILE: &str = "host-name";
/// A file that earlier versions kept there.
const EARLIER_FILE: &str = "boot.json";

/// The machine's own name, where the settings have none.
#[cfg(target_os = "linux")]
pub(crate) fn machine_name() -> HostName {
    HostName::from_os_name(&os_host_name())
}

/// This host's name; `configured` is the one in its settings, `state` its state folder.
pub fn own_name(configured: Option<HostName>, state: &Path) -> HostName {
    configured.unwrap_or_else(|| Names::of(&os_host_name()).in_folder(state))
}

/// The same for an agent with a key: where nothing in the state folder tells, the broker is asked which name the key was
/// admitted under.
pub(crate) async fn own_name_at(configured: Option<HostName>, state: &Path, broker: &Broker) -> HostName {
    let names = Names::of(&os_host_name());
    match configured {
        Some(name) => name,
        None if names.is_told_by(state) || broker.nkey_file.is_none() => names.in_folder(state),
        None => names.at_broker(state, broker).await,
    }
}

/// What the machine's own name makes.
struct Names {
    now: HostName,
    before_dots: HostName,
}

impl Names {
    fn of(os_name: &str) -> Self {
        Self {
            now: HostName::from_os_name(os_name),
            before_dots: HostName::from_os_name_before_dots(os_name),
        }
    }

    /// Whether there is nothing to ask the broker for.
    fn is_told_by(&self, state: &Path) -> bool {
        self.now == self.before_dots || kept(state).is_some() || state.join(EARLIER_FILE).exists()
    }

    fn in_folder(self, state: &Path) -> HostName {
        let is_earlier = match kept(state) {
            Some(name) => name == self.before_dots.as_str(),
            None => state.join(EARLIER_FILE).exists(),
        };
        let name = if is_earlier { self.before_dots } else { self.now };
        keep(state, &name);
        name
    }

    async fn at_broker(self, state: &Path, broker: &Broker) -> HostName {
        match broker.enrol(&self.now, None).await {
            Err(error) if error.is_refusal() => {
                let is_earlier = broker.enrol(&self.before_dots, None).await.is_ok();
                let name = if is_earlier { self.before_dots } else { return self.now };
                keep(state, &name);
                name
            }
            Err(_) => self.now,
            Ok(_) => {
                keep(state, &self.now);
                self.now
            }
        }
    }
}

fn kept(state: &Path) -> Option<String> {
    let text = file::read(&state.join(NAME_FILE)).ok()?;
    Some(String::from_utf8_lossy(&text).trim().to_owned())
}

fn keep(state: &Path, name: &HostName) {
    if kept(state).as_deref() == Some(name.as_str()) {
        return;
    }
    let write = || -> io::Result<()> {
        fs::create_dir_all(state)?;
        file::replace(&state.join(NAME_FILE), format!("{name}\n").as_bytes())
    };
    if let Err(error) = write() {
        tracing::debug!(folder = %state.display(), %error, "this host's name cannot be kept");
    }
}

#[cfg(test)]
mod tests {
    use fleetps_nats::{
        admission::AdmissionSettings,
        hosts, key,
        server::{ManagedServer, Part, ServerSettings},
    };

    use super::*;

    fn name_in(state: &Path, os_name: &str) -> String {
        Names::of(os_name).in_folder(state).to_string()
    }

    #[test]
    fn a_new_host_has_its_real_name() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        assert_eq!(name_in(&state, "db.example.com"), "db.example.com");
        // Not an earlier version's.
        fs::write(state.join(EARLIER_FILE), "{}").unwrap();
        assert_eq!(name_in(&state, "db.example.com"), "db.example.com");
        assert_eq!(name_in(&state, "db2.example.com"), "db2.example.com");
    }

    #[test]
    fn a_host_of_an_earlier_version_keeps_its_name_until_the_machine_has_another() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(EARLIER_FILE), "{}").unwrap();
        assert_eq!(name_in(folder.path(), "db.example.com"), "db_example_com");
        assert_eq!(name_in(folder.path(), "db.example.com"), "db_example_com");
        assert_eq!(name_in(folder.path(), "new.example.com"), "new.example.com");
    }

    #[test]
    fn a_host_of_an_earlier_version_whose_name_had_no_dots_may_get_some() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(EARLIER_FILE), "{}").unwrap();
        assert_eq!(name_in(folder.path(), "db"), "db");
        assert_eq!(name_in(folder.path(), "db.example.com"), "db.example.com");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn where_nothing_is_kept_the_broker_tells_which_name_the_key_was_admitted_under() {
        let data = tempfile::tempdir().unwrap();
        let settings = ServerSettings {
            data: data.path().to_owned(),
            program: None,
            public: None,
            simulator: false,
            max_file_store_bytes: 1 << 30,
        };
        let server = ManagedServer::start(settings).await.unwrap();
        let here = "here".parse().unwrap();
        let _admission = server.admission(&here, AdmissionSettings::default()).await.unwrap();
        let records = hosts::open(&server.broker(Part::Api).connect("test").await.unwrap()).await.unwrap();
        for (admitted, expected) in [
            ("db_example_com", "db_example_com"),
            ("db.example.com", "db.example.com"),
            ("other", "db.example.com"),
        ] {
            let key_file = data.path().join(admitted);
            let key = key::make(&key_file).unwrap();
            let host: HostName = admitted.parse().unwrap();
            assert!(hosts::admit(&records, &host, &key).await.unwrap());
            let broker = server.broker(Part::Agent).with_key(key_file);
            let state = data.path().join(format!("{admitted}-state"));
            let name = Names::of("db.example.com").at_broker(&state, &broker).await;
            assert_eq!(name.as_str(), expected);
            // A refusal of both tells nothing for good.
            assert_eq!(kept(&state).is_some(), admitted != "other");
            hosts::forget(&records, &host).await.unwrap();
        }
        server.stop().await;
    }
}
