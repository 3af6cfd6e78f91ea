//! The helper's socket: who may speak, how many at once, and how much.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use fleetps_nats::command::{Answer, MAX_MESSAGE_BYTES, Reason};
use listenfd::ListenFd;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream, unix::UCred},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use super::helper::{Asker, Helper};

/// Connections at once: the agent passes 16 questions on at once, each over one of its own.
const MAX_CONNECTIONS: usize = 32;
/// How long a connection may be silent.
const SILENT_FOR: Duration = Duration::from_secs(30);
/// How long an answer may take to be written: it fits into the socket's buffer mostly.
const WRITE_WITHIN: Duration = Duration::from_secs(5);
/// Its owner and its group may connect.
const MODE: u32 = 0o660;

/// The socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// It cannot be made.
    #[error("cannot listen on {path}; does the folder exist, and may this user write there?")]
    Bind {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// systemd gave something else.
    #[error("what systemd listens on is no Unix socket")]
    Given(#[source] io::Error),
}

/// The socket.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    /// The group whose members may connect; absent where the socket has no file.
    group: Option<u32>,
}

impl Listener {
    /// The socket that systemd gave this program, if it did.
    ///
    /// # Errors
    /// When it is no Unix socket.
    pub fn given() -> Result<Option<Self>, ListenError> {
        let given = ListenFd::from_env().take_unix_listener(0).map_err(ListenError::Given)?;
        given.map(|listener| Self::of(listener).map_err(ListenError::Given)).transpose()
    }

    /// A new socket at `path`. One that is there already is taken over.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn bind(path: &Path) -> Result<Self, ListenError> {
        let bind = || {
            if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
                fs::remove_file(path)?;
            }
            let listener = std::os::unix::net::UnixListener::bind(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
            Self::of(listener)
        };
        bind().map_err(|source| ListenError::Bind { path: path.to_owned(), source })
    }

    fn of(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let group = address.as_pathname().and_then(|path| Some(fs::metadata(path).ok()?.gid()));
        Ok(Self { listener: UnixListener::from_std(listener)?, group })
    }

    /// Answers until `shutdown`.
    pub async fn serve(self, helper: Arc<Helper>, shutdown: CancellationToken) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let serve = async {
            loop {
                match self.listener.accept().await {
                    Ok((stream, _)) => self.take(stream, &helper, &places),
                    Err(error) => {
                        tracing::warn!(%error, "cannot take a connection; trying again");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        };
        shutdown.run_until_cancelled(serve).await;
    }

    fn take(&self, stream: UnixStream, helper: &Arc<Helper>, places: &Arc<Semaphore>) {
        let peer = stream.peer_cred();
        let Some(peer) = peer.ok().filter(|peer| self.may_speak(peer)) else {
            tracing::warn!("a connection of another user than the agent's is closed");
            return;
        };
        let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
        let (helper, place) = (Arc::clone(helper), Arc::clone(places).try_acquire_owned());
        tokio::spawn(async move {
            let spoken = match place {
                Ok(place) => converse(stream, &helper, Asker { pid }).await.map(|()| drop(place)),
                Err(_) => answer_full(stream).await,
            };
            if let Err(error) = spoken {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }

    /// The socket's mode says so already; this does not depend on the file system.
    fn may_speak(&self, peer: &UCred) -> bool {
        let own = rustix::process::geteuid().as_raw();
        peer.uid() == 0 || peer.uid() == own || self.group == Some(peer.gid())
    }
}

async fn converse(stream: UnixStream, helper: &Arc<Helper>, asker: Asker) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut stream).take(MAX_MESSAGE_BYTES as u64 + 1);
        let reading = bounded.read_until(b'\n', &mut line);
        tokio::time::timeout(SILENT_FOR, reading).await??;
        if line.pop_if(|last| *last == b'\n').is_none() {
            if line.len() > MAX_MESSAGE_BYTES {
                write(&mut stream, &Answer::refused(Reason::NotBelieved, "the line is too long")).await?;
            }
            return Ok(());
        }
        let answer = helper.answer(&line, asker).await;
        write(&mut stream, &answer).await?;
    }
}

async fn answer_full(stream: UnixStream) -> io::Result<()> {
    let full = Answer::refused(Reason::TooMany, "the control helper has too many connections");
    write(&mut BufReader::new(stream), &full).await
}

async fn write(stream: &mut BufReader<UnixStream>, answer: &Answer) -> io::Result<()> {
    let mut bytes = answer.to_bytes();
    bytes.push(b'\n');
    tokio::time::timeout(WRITE_WITHIN, stream.write_all(&bytes)).await?
}
