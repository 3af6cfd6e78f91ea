//! A way to the broker that breaks when a test wants it to: at the moment when a certain text goes over it, it holds everything
//! back, is cut, or somebody is killed.

use std::{
    net::SocketAddr,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// Nothing goes over it for so long, in both directions.
    Hold(Duration),
    /// Its connections end, and this never arrives.
    Cut,
    /// Its connections end after this has arrived.
    CutAfter,
    /// This process is killed, and this arrives.
    Kill(u32),
    /// This process stands still for so long, and this arrives.
    Stop(u32, Duration),
}

/// A way; its end closes what goes over it.
pub struct Way {
    pub url: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    to: SocketAddr,
    armed: Mutex<Option<(&'static str, Fault)>>,
    held_until: Mutex<Instant>,
    cuts: watch::Sender<()>,
}

impl Drop for Way {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.cuts.send_replace(());
    }
}

impl Way {
    /// A way to the broker at this URL.
    pub async fn to(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            to: url.strip_prefix("nats://").unwrap().parse().unwrap(),
            armed: Mutex::default(),
            held_until: Mutex::new(Instant::now()),
            cuts: watch::Sender::default(),
        });
        let own = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&own).connect(near));
            }
        });
        Self { url: format!("nats://{address}"), shared, accepting }
    }

    /// Has this go wrong when `text` goes over it next, instead of what was to go wrong before.
    pub fn arm(&self, text: &'static str, fault: Fault) {
        *self.shared.armed.lock() = Some((text, fault));
    }

    /// Nothing goes wrong from now on that has not begun.
    pub fn disarm(&self) {
        *self.shared.armed.lock() = None;
    }
}

impl Shared {
    async fn connect(self: Arc<Self>, near: TcpStream) {
        // Without a broker there is nothing to connect to.
        let Ok(far) = TcpStream::connect(self.to).await else { return };
        // As both ends do: what is small would wait for the acknowledgement of what went before.
        if near.set_nodelay(true).and(far.set_nodelay(true)).is_err() {
            return;
        }
        let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
        let mut cuts = self.cuts.subscribe();
        tokio::select! {
            () = self.carry(from_near, to_far) => {}
            () = self.carry(from_far, to_near) => {}
            _ = cuts.changed() => {}
        }
    }

    async fn carry(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            let fault = self.fault_at(&bytes[..count]);
            match fault {
                Some(Fault::Hold(time)) => *self.held_until.lock() = Instant::now() + time,
                Some(Fault::Cut) => return self.cut(),
                Some(Fault::Kill(pid)) => signal("-KILL", pid),
                Some(Fault::Stop(pid, time)) => stand_still(pid, time),
                Some(Fault::CutAfter) | None => {}
            }
            self.passes().await;
            if to.write_all(&bytes[..count]).await.is_err() {
                return;
            }
            if matches!(fault, Some(Fault::CutAfter)) {
                return self.cut();
            }
        }
    }

    fn fault_at(&self, bytes: &[u8]) -> Option<Fault> {
        let mut armed = self.armed.lock();
        let (text, fault) = (*armed)?;
        let is_there = bytes.windows(text.len()).any(|part| part == text.as_bytes());
        is_there.then(|| {
            *armed = None;
            fault
        })
    }

    fn cut(&self) {
        self.cuts.send_replace(());
    }

    async fn passes(&self) {
        loop {
            let until = *self.held_until.lock();
            if until <= Instant::now() {
                return;
            }
            // It may be prolonged meanwhile.
            tokio::time::sleep_until(until.into()).await;
        }
    }
}

/// Sends a signal; the process may have ended.
fn signal(name: &str, pid: u32) {
    let _ = Command::new("kill").args([name, &pid.to_string()]).output();
}

fn stand_still(pid: u32, time: Duration) {
    signal("-STOP", pid);
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        signal("-CONT", pid);
    });
}
