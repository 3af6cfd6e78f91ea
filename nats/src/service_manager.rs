//! What a program tells the service manager that started it: systemd, by `Type=notify` and `WatchdogSec=`.
//!
//! [`ready`] says that the program works. [`watch`] says that it ends, and tells the watchdog that it goes on, as long as every
//! [`Pulse`] is in time: a program whose vital loop hangs is then killed and started again. Where nothing is to be told
//! (started by hand, or elsewhere than on Linux), both do nothing.
//!
//! A pulse belongs to a loop whose hanging a restart mends. One that waits for a broker, or for room on a disk, does not hang.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

/// How often within the watchdog's time it is told: three may be lost.
const TOLD_WITHIN_WATCHDOG: u32 = 4;

/// When a loop is to have gone round, at the latest; `None` while it may take any time.
type Deadline = Mutex<Option<Instant>>;

static VITAL: Pulses = Pulses(Mutex::new(Vec::new()));

/// A vital loop of this process. Dropped, it is no longer watched.
#[derive(Debug)]
pub struct Pulse(Arc<Deadline>);

impl Pulse {
    /// The loop called `name`, which may take any time at first.
    pub fn of(name: &'static str) -> Self {
        VITAL.add(name)
    }

    /// The loop is going round now, and will again within `time`.
    pub fn beat(&self, time: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now().checked_add(time);
    }

    /// What comes now may take any time.
    pub fn rest(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The loops that are watched, with their names.
struct Pulses(Mutex<Vec<(&'static str, Weak<Deadline>)>>);

impl Pulses {
    fn add(&self, name: &'static str) -> Pulse {
        let deadline = Arc::default();
        let mut pulses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.retain(|(_, pulse)| pulse.strong_count() > 0);
        pulses.push((name, Arc::downgrade(&deadline)));
        Pulse(deadline)
    }

    /// A loop that is not in time.
    fn late(&self) -> Option<&'static str> {
        let now = Instant::now();
        let is_late = |pulse: &Weak<Deadline>| {
            let deadline = pulse.upgrade()?;
            let deadline = *deadline.lock().unwrap_or_else(PoisonError::into_inner);
            deadline.filter(|deadline| *deadline < now)
        };
        let pulses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.iter().find(|(_, pulse)| is_late(pulse).is_some()).map(|(name, _)| *name)
    }
}

/// This program works.
pub fn ready() {
    if let Some(manager) = ServiceManager::of_this_process() {
        manager.tell("READY=1");
    }
}

/// Tells from now on that this program goes on, and when `shutdown` begins. Must be called inside a Tokio runtime, which is
/// watched with it: where that hangs, nothing is told.
pub fn watch(shutdown: &CancellationToken) {
    if let Some(manager) = ServiceManager::of_this_process() {
        tokio::spawn(manager.watch(&VITAL, shutdown.clone()));
    }
}

/// The service manager.
struct ServiceManager {
    socket: socket::Socket,
    /// Within which time it is to be told again; `None` where it does not watch this process.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one that started this process, as it says in the environment.
    fn of_this_process() -> Option<Self> {
        let text = |name| std::env::var(name).ok();
        let socket = socket::Socket::to(&std::env::var_os("NOTIFY_SOCKET")?)?;
        Some(Self { socket, watchdog: watchdog(text("WATCHDOG_USEC"), text("WATCHDOG_PID")) })
    }

    fn tell(&self, text: &str) {
        if let Err(error) = self.socket.send(text) {
            tracing::debug!(%error, text, "the service manager cannot be told");
        }
    }

    async fn watch(self, pulses: &'static Pulses, shutdown: CancellationToken) {
        while let Some(time) = self.watchdog {
            match pulses.late() {
                None => self.tell("WATCHDOG=1"),
                Some(name) => tracing::error!(
                    "{name} hangs; if it still does in {} s, the service manager starts this program again",
                    time.as_secs()
                ),
            }
            let pause = tokio::time::sleep(time / TOLD_WITHIN_WATCHDOG);
            if shutdown.run_until_cancelled(pause).await.is_none() {
                break;
            }
        }
        shutdown.cancelled().await;
        self.tell("STOPPING=1");
    }
}

/// The watchdog's time, where it watches this process and not its parent or child.
fn watchdog(microseconds: Option<String>, pid: Option<String>) -> Option<Duration> {
    let time = Duration::from_micros(microseconds?.parse().ok()?);
    let is_mine = pid.is_none_or(|pid| pid == std::process::id().to_string());
    (is_mine && !time.is_zero()).then_some(time)
}

#[cfg(target_os = "linux")]
mod socket {
    use std::{
        ffi::OsStr,
        io,
        os::{
            linux::net::SocketAddrExt,
            unix::{
                ffi::OsStrExt,
                net::{SocketAddr, UnixDatagram},
            },
        },
    };

    /// Where the service manager listens.
    pub(super) struct Socket(UnixDatagram, SocketAddr);

    impl Socket {
        /// The socket at a path, or with a name that begins with `@` and has no file.
        pub(super) fn to(address: &OsStr) -> Option<Self> {
            let address = match address.as_bytes().strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(address),
            };
            let socket = UnixDatagram::unbound().ok()?;
            // Where it does not listen, nothing here waits for it.
            socket.set_nonblocking(true).ok()?;
            Some(Self(socket, address.ok()?))
        }

        pub(super) fn send(&self, text: &str) -> io::Result<()> {
            self.0.send_to_addr(text.as_bytes(), &self.1).map(|_| ())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod socket {
    use std::{ffi::OsStr, io};

    /// There is none.
    pub(super) enum Socket {}

    impl Socket {
        pub(super) fn to(_address: &OsStr) -> Option<Self> {
            None
        }

        pub(super) fn send(&self, _text: &str) -> io::Result<()> {
            match *self {}
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    /// What is heard next, within a minute.
    fn hear(listener: &UnixDatagram) -> String {
        let mut message = [0; 64];
        let length = listener.recv(&mut message).expect("nothing was told within a minute");
        String::from_utf8_lossy(&message[..length]).into_owned()
    }

    fn listener(folder: &tempfile::TempDir) -> (UnixDatagram, ServiceManager) {
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        listener.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let socket = socket::Socket::to(path.as_os_str()).unwrap();
        (listener, ServiceManager { socket, watchdog: Some(Duration::from_millis(20)) })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_watchdog_is_told_until_a_loop_is_late_and_then_only_of_the_end() {
        static PULSES: Pulses = Pulses(Mutex::new(Vec::new()));
        let folder = tempfile::tempdir().unwrap();
        let (listener, manager) = listener(&folder);
        let pulse = PULSES.add("a loop");
        pulse.beat(Duration::from_secs(3600));
        let shutdown = CancellationToken::new();
        let watching = tokio::spawn(manager.watch(&PULSES, shutdown.clone()));
        tokio::task::spawn_blocking(move || {
            assert_eq!([hear(&listener), hear(&listener)], ["WATCHDOG=1", "WATCHDOG=1"]);
            pulse.beat(Duration::ZERO);
            assert_eq!(PULSES.late(), Some("a loop"));
            shutdown.cancel();
            // Those that were told before.
            while hear(&listener) == "WATCHDOG=1" {}
            pulse.rest();
            assert_eq!(PULSES.late(), None);
        })
        .await
        .unwrap();
        watching.await.unwrap();
    }

    #[test]
    fn a_late_loop_counts_until_it_beats_rests_or_ends() {
        let pulses = Pulses(Mutex::new(Vec::new()));
        let (one, two) = (pulses.add("one"), pulses.add("two"));
        assert_eq!(pulses.late(), None, "they may take any time at first");
        one.beat(Duration::from_secs(3600));
        two.beat(Duration::ZERO);
        assert_eq!(pulses.late(), Some("two"));
        two.beat(Duration::MAX);
        assert_eq!(pulses.late(), None);
        one.beat(Duration::ZERO);
        drop(one);
        assert_eq!(pulses.late(), None);
    }

    #[test]
    fn a_socket_without_a_file_is_reached_by_its_name() {
        use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
        let name = format!("fleetps-test-{}", std::process::id());
        let listener = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        listener.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket::Socket::to(format!("@{name}").as_ref()).unwrap().send("READY=1").unwrap();
        assert_eq!(hear(&listener), "READY=1");
    }

    #[test]
    fn the_watchdog_of_another_process_is_not_ours() {
        let own = std::process::id().to_string();
        let time = |text: &str, pid: Option<&str>| watchdog(Some(text.to_owned()), pid.map(str::to_owned));
        assert_eq!(time("60000000", None), Some(Duration::from_secs(60)));
        assert_eq!(time("60000000", Some(&own)), Some(Duration::from_secs(60)));
        assert_eq!(time("60000000", Some("1")), None);
        for bad in ["", "0", "-1", "a minute"] {
            assert_eq!(time(bad, None), None, "{bad}");
        }
        assert_eq!(watchdog(None, None), None);
    }
}
