//! `fleetps-agent join`: a host becomes part of a fleet. It makes the key, shows it to the broker with the enrolment token,
//! writes the settings and installs the service. Run again, it keeps the key that is there, and every setting that is
//! not about reaching the broker. `leave` undoes it.
//!
//! The token is used here and nowhere kept.

mod leave;
mod service;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use fleetps_nats::{
    HostName,
    admission::{Enrolled, Hello, Welcome},
    agent_settings::is_control_key,
    connection::{Broker, BrokerSettings, ConnectionError},
    key::{self, KeyError},
    subject,
};

use crate::{
    sample::os_host_name,
    server::{Server, ServerError, Session},
    settings::{AgentFile, AgentSettings},
    uplink::Uplink,
};

pub use leave::{LeaveArguments, leave};
pub use service::ServiceError;

/// The name of the settings file.
const SETTINGS: &str = "agent.toml";
/// How long admission may take to answer a hello: it reads a few records.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Where the settings go when this is run by root.
const ROOT_CONFIG_FOLDER: &str = "/etc/fleetps";
/// Where the key goes then; the service gets it as its state folder.
const ROOT_STATE_FOLDER: &str = "/var/lib/fleetps-agent";

/// The fleet to join, and this host's name in it.
#[derive(Debug, Args)]
pub struct JoinArguments {
    /// Address of the broker, as in nats://fleet.example.com:4222, or of a web server (https://…)
    url: String,
    /// The enrolment token, from `fleetps enrol-token`; without one, this host waits for approval
    #[arg(long, env = "FLEETPS_ENROL_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// This host's name instead of the machine's own
    #[arg(long = "host", id = "joined_host", value_name = "NAME")]
    host: Option<HostName>,
    /// Let the service see what other users' processes read and write on disk; for that it can read every file
    #[arg(long)]
    disk_io: bool,
    /// Let the fleet send commands: installs the control helper, which does what [control] of the settings allows
    #[cfg(target_os = "linux")]
    #[arg(long, conflicts_with_all = ["no_service", "folder"])]
    control: bool,
    /// Do not install a service
    #[arg(long)]
    no_service: bool,
    /// Where settings and key go [default: /etc/fleetps and /var/lib/fleetps-agent for root, else the user's state folder]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl JoinArguments {
    /// Whether the broker to join has this address.
    pub(crate) fn is_to(&self, url: &str) -> bool {
        self.url == url
    }

    /// The settings file of a host that joined before.
    pub(crate) fn earlier_settings(&self) -> Option<PathBuf> {
        let file = folders(self.folder.as_deref()).0.join(SETTINGS);
        file.exists().then_some(file)
    }
}

/// A host could not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// A file or folder cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The settings cannot be written as TOML.
    #[error("the settings cannot be written")]
    Settings(#[from] toml::ser::Error),
    /// The key cannot be made or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The broker cannot be reached.
    #[error(transparent)]
    Connection(ConnectionError),
    /// The web server cannot be reached, or cannot decide.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The web server could not decide.
    #[error("the server could not decide whether {host} is admitted; join again in a few seconds")]
    Undecided {
        /// The name.
        host: HostName,
    },
    /// The broker does not let this host in, in spite of its token.
    #[error(
        "{host} is not admitted with this token: it may be too old or used up, or the name may be another \
         machine's, or revoked. `fleetps host list` and the log of fleetps say which; `fleetps host forget {host}` frees \
         the name"
    )]
    Refused {
        /// The name.
        host: HostName,
    },
    /// The service cannot be installed.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// A file or folder cannot be removed.
    #[error("cannot remove {path}")]
    Remove {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Joins, and prints what was done. `file` holds the settings given otherwise or before; only those that name the
/// broker and how to reach it are changed.
///
/// # Errors
/// When the broker refuses or cannot be reached, or something cannot be written.
pub async fn join(arguments: JoinArguments, mut file: AgentFile) -> Result<(), JoinError> {
    let host = arguments.host.clone().or_else(|| file.host.clone());
    let host = host.unwrap_or_else(|| HostName::from_os_name(&os_host_name()));
    let (config_folder, state_folder) = folders(arguments.folder.as_deref());
    make_folder(&config_folder, 0o755)?;
    make_folder(&state_folder, 0o700)?;
    let is_first = arguments.earlier_settings().is_none();
    let key_file = file.broker.nkey.take().unwrap_or_else(|| state_folder.join("host.nk"));
    let public_key = key_in(&key_file)?;
    file.wire.ca = file.wire.ca.map(|ca| keep_authority(&ca, &config_folder)).transpose()?;
    let is_server = Server::is_address(&arguments.url);
    file.server = is_server.then(|| arguments.url.clone());
    file.broker = BrokerSettings { nats: Some(arguments.url).filter(|_| !is_server), nkey: Some(key_file) };
    file.host = Some(host.clone());
    let (is_admitted, control_key) = introduce(file.uplink(), &host, arguments.token).await?;
    // One that is pinned stays: whoever joins again may have been led to another fleet.
    if file.remote.control_key.is_none() {
        file.remote.control_key = control_key.filter(|key| is_control_key(key));
    }
    if is_first {
        file.sample.state = state_folder;
    }
    #[cfg(target_os = "linux")]
    if arguments.control {
        file.commands.enabled = true;
    }
    let config = config_folder.join(SETTINGS);
    let text = file.to_toml()?;
    fleetps_nats::file::replace(&config, text.as_bytes()).map_err(unwritten(&config))?;
    if is_admitted {
        fleetps_nats::outln!("{host} is admitted.");
    } else {
        fleetps_nats::outln!(
            "{host} is not admitted yet. Where fleetps lets hosts wait (--approve), it waits with the key \
             {public_key}:\n\n  fleetps host approve {host}\n\nElse join again with a token."
        );
    }
    fleetps_nats::outln!("Its settings are in {}.", config.display());
    if is_admitted && file.remote.control_key.is_none() {
        fleetps_nats::outln!("This fleet has named no control key, so that it cannot change these settings.");
    }
    if arguments.no_service || !service::install(&config, &file.sample.state, arguments.disk_io)? {
        let config = config.display();
        fleetps_nats::outln!(
            "No service was installed. Start the agent with:\n\n  fleetps-agent --config {config}"
        );
        #[cfg(target_os = "linux")]
        if arguments.control {
            fleetps_nats::outln!(
                "Nor was the control helper, without which no command is executed:\n\n  \
                 fleetps-agent --config {config} control run"
            );
        }
        return Ok(());
    }
    #[cfg(target_os = "linux")]
    if arguments.control {
        install_control(&config, &file)?;
    }
    Ok(())
}

/// Installs the control helper, and says what is left to do for this host's owner.
#[cfg(target_os = "linux")]
fn install_control(config: &Path, file: &AgentFile) -> Result<(), ServiceError> {
    use crate::control::{USER, polkit_rule};
    let policy = file.commands.policy();
    service::install_control(USER, &polkit_rule(&policy, USER))?;
    let (config, lines) = (config.display(), policy.units.len() + policy.signals.len());
    fleetps_nats::outln!(
        "Commands are on, and {lines} lines of [control] in {config} allow some. After a change of `units` there:\n\n  \
         fleetps-agent --config {config} control polkit > {}",
        service::polkit_file().display()
    );
    Ok(())
}

/// The public half of the key in `file`, which is made where there is none.
fn key_in(file: &Path) -> Result<String, KeyError> {
    match key::read(file) {
        Ok(key) => Ok(key.public_key()),
        Err(KeyError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => key::make(file),
        Err(error) => Err(error),
    }
}

/// Copies the authority to where the service can read it.
fn keep_authority(ca: &Path, folder: &Path) -> Result<PathBuf, JoinError> {
    let kept = folder.join("ca.pem");
    if ca != kept {
        fs::copy(ca, &kept).map_err(unwritten(&kept))?;
    }
    Ok(kept)
}

fn unwritten(path: &Path) -> impl FnOnce(io::Error) -> JoinError {
    let path = path.to_owned();
    move |source| JoinError::Write { path, source }
}

/// Whether the host is let in, and the fleet's control key where it is.
async fn introduce(
    uplink: Uplink,
    host: &HostName,
    token: Option<String>,
) -> Result<(bool, Option<String>), JoinError> {
    match uplink {
        Uplink::Broker(broker) => introduce_to_broker(&broker, host, token.as_deref()).await,
        Uplink::Server(server) => {
            let session = server.session(host)?;
            let host = host.clone();
            let asking = tokio::task::spawn_blocking(move || introduce_to_server(&session, host, token));
            asking.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        }
    }
}

fn introduce_to_server(
    session: &Session,
    host: HostName,
    token: Option<String>,
) -> Result<(bool, Option<String>), JoinError> {
    match session.enrol(token.as_deref())? {
        Enrolled::Admitted => {
            let said = session.hello(&Hello::default());
            Ok((true, said.ok().and_then(|welcome| welcome.control_key)))
        }
        Enrolled::Undecided => Err(JoinError::Undecided { host }),
        Enrolled::Waiting | Enrolled::Refused if token.is_some() => Err(JoinError::Refused { host }),
        Enrolled::Waiting | Enrolled::Refused => Ok((false, None)),
    }
}

async fn introduce_to_broker(
    broker: &Broker,
    host: &HostName,
    token: Option<&str>,
) -> Result<(bool, Option<String>), JoinError> {
    match broker.enrol(host, token).await {
        Ok(client) => Ok((true, control_key(&client, host).await)),
        Err(error) if !error.is_refusal() => Err(JoinError::Connection(error)),
        Err(_) if token.is_some() => Err(JoinError::Refused { host: host.clone() }),
        Err(_) => Ok((false, None)),
    }
}

/// The fleet's control key; absent where admission does not answer, or knows none.
async fn control_key(client: &async_nats::Client, host: &HostName) -> Option<String> {
    let hello = serde_json::to_vec(&Hello::default()).ok()?;
    let asking = client.request(subject::hello(host), hello.into());
    let answer = tokio::time::timeout(HELLO_TIMEOUT, asking).await.ok()?.ok()?;
    serde_json::from_slice::<Welcome>(&answer.payload).ok()?.control_key
}

fn folders(given: Option<&Path>) -> (PathBuf, PathBuf) {
    match given {
        Some(folder) => {
            // The service runs somewhere else.
            let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
            (folder.clone(), folder)
        }
        None if service::is_root() => (ROOT_CONFIG_FOLDER.into(), ROOT_STATE_FOLDER.into()),
        None => {
            let folder = AgentSettings::default().state;
            (folder.clone(), folder)
        }
    }
}

fn make_folder(folder: &Path, mode: u32) -> Result<(), JoinError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode);
    #[cfg(not(unix))]
    let _ = mode;
    builder.create(folder).map_err(unwritten(folder))
}
