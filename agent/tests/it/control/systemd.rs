//! A real bus with something on it that answers as systemd's manager does, and that can be told to go wrong.

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use futures_util::StreamExt;
use tokio::sync::Notify;
use zbus::{Connection, Message, MessageStream, ObjectPath, Variant, connection::Builder, message::Type};

const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";

/// The bus daemon, ended with the test.
pub struct Bus {
    child: Child,
    pub address: String,
    _folder: tempfile::TempDir,
}

impl Bus {
    /// A bus; `None` where there is no dbus-daemon, unless it is required.
    pub fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("bus.conf");
        let text = format!(
            "<busconfig><type>custom</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/>\
             <allow own=\"*\"/><allow user=\"*\"/></policy></busconfig>",
            folder.path().join("bus").display()
        );
        std::fs::write(&config, text).unwrap();
        let started = Command::new("dbus-daemon")
            .args(["--nofork", "--nopidfile", "--print-address=1", "--config-file"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // It complains about limits that do not matter here.
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = started else {
            let is_required = std::env::var_os("FLEETPS_TEST_REQUIRE_DBUS").is_some();
            assert!(!is_required, "dbus-daemon is required (FLEETPS_TEST_REQUIRE_DBUS) but not on PATH");
            println!("SKIPPED: no dbus-daemon");
            return None;
        };
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Some(Self { child, address: address.trim().to_owned(), _folder: folder })
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What the manager does with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// It is done, and said after the reply.
    Done,
    /// It is said before the reply that names the job.
    SaidFirst,
    /// It is done, but the signal is lost.
    Lost,
    /// It fails.
    Fails,
    /// It is done, but a condition skipped the unit.
    Skipped,
    /// Nothing happens, for ever.
    Hangs,
    /// The same, but somebody else on the bus says that it was done.
    Forged,
    /// Many jobs of others end before it, and after it.
    AmongOthers,
    /// polkit refuses it.
    Denied,
    /// The bus ends after the job has begun.
    BusEnds,
}

#[derive(Debug, Clone)]
pub struct Unit {
    pub names: Vec<String>,
    pub active: &'static str,
    pub invocation: u8,
    pub main_pid: u32,
}

/// A job that the manager was told to do.
#[allow(dead_code, reason = "the web server's tests read all of it")]
#[derive(Debug, Clone)]
pub struct Call {
    /// As in "RestartUnit nginx.service replace".
    pub what: String,
    pub at: SystemTime,
    /// What it did with it.
    pub job: Job,
}

/// The manager, as the test sees it.
#[derive(Debug)]
pub struct Manager {
    pub units: Mutex<BTreeMap<String, Unit>>,
    pub job: Mutex<Job>,
    pub calls: Mutex<Vec<Call>>,
    /// A job that hangs has begun.
    pub begun: Notify,
    connection: Connection,
    other: Connection,
}

impl Manager {
    /// On the bus at `address`, with the unit nginx.service, which is also known as www.service.
    pub async fn start(address: &str) -> Arc<Self> {
        let connect = || Builder::address(address).build();
        let (connection, other) = (connect().await.unwrap(), connect().await.unwrap());
        let calls = MessageStream::from(&connection);
        connection.request_name("org.freedesktop.systemd1").await.unwrap();
        let names = ["nginx.service", "www.service"].map(str::to_owned).into();
        let nginx = Unit { names, active: "active", invocation: 1, main_pid: 0 };
        let manager = Arc::new(Self {
            units: Mutex::new([("nginx.service".to_owned(), nginx)].into()),
            job: Mutex::new(Job::Done),
            calls: Mutex::default(),
            begun: Notify::new(),
            connection,
            other,
        });
        tokio::spawn(Arc::clone(&manager).answer_all(calls));
        manager
    }

    /// What was called of the manager, but for reading.
    pub fn called(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|call| call.what.clone()).collect()
    }

    async fn answer_all(self: Arc<Self>, mut calls: MessageStream) {
        while let Some(Ok(call)) = calls.next().await {
            if call.message_type() == Type::MethodCall {
                // An error is that the bus is gone.
                let _ = self.answer(&call).await;
            }
        }
    }

    async fn answer(&self, call: &Message) -> zbus::Result<()> {
        let header = call.header();
        let member = header.member().map(ToString::to_string).unwrap_or_default();
        match member.as_str() {
            "Subscribe" => self.connection.reply(&header, &()).await,
            "LoadUnit" => {
                let body = call.body();
                let path = path_of(body.deserialize::<&str>()?);
                self.connection.reply(&header, &path).await
            }
            "GetAll" => {
                let body = call.body();
                let interface: &str = body.deserialize()?;
                let path = header.path().map(ToString::to_string).unwrap_or_default();
                let found = self.properties(&path, interface.ends_with(".Service"));
                self.connection.reply(&header, &found).await
            }
            _ => self.job(call, &member).await,
        }
    }

    fn properties(&self, path: &str, is_service: bool) -> HashMap<&'static str, Variant<'static>> {
        let units = self.units.lock().unwrap();
        let found =
            units.iter().find(|(_, unit)| unit.names.iter().any(|name| path_of(name).as_str() == path));
        let Some((id, unit)) = found else {
            return [("LoadState", Variant::from("not-found"))].into();
        };
        if is_service {
            return [("MainPID", Variant::from(unit.main_pid)), ("Result", Variant::from("success"))].into();
        }
        let sub = if unit.active == "active" { "running" } else { "dead" };
        [
            ("Id", Variant::from(id.clone())),
            ("Names", Variant::from(unit.names.clone())),
            ("LoadState", Variant::from("loaded")),
            ("ActiveState", Variant::from(unit.active)),
            ("SubState", Variant::from(sub)),
            ("InvocationID", Variant::from(vec![unit.invocation; 16])),
            ("StateChangeTimestamp", Variant::from(1_700_000_000_000_000_u64)),
        ]
        .into()
    }

    async fn job(&self, call: &Message, member: &str) -> zbus::Result<()> {
        let (header, body) = (call.header(), call.body());
        let (unit, mode): (&str, &str) = body.deserialize()?;
        let (job, number) = (*self.job.lock().unwrap(), 4711);
        let what = format!("{member} {unit} {mode}");
        self.calls.lock().unwrap().push(Call { what, at: SystemTime::now(), job });
        if job == Job::Denied {
            let name = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired";
            return self.connection.reply_error(&header, name, &"Interactive authentication required.").await;
        }
        if !matches!(job, Job::Skipped | Job::Hangs | Job::Forged) {
            self.change(member, unit, job == Job::Fails);
        }
        if job == Job::AmongOthers {
            for other in 0..200 {
                removed(&self.connection, other, "other.service", "failed").await?;
            }
        }
        if job == Job::SaidFirst {
            removed(&self.connection, number, unit, "done").await?;
        }
        self.connection.reply(&header, &job_path(number)).await?;
        match job {
            Job::Done | Job::Skipped => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                removed(&self.connection, number, unit, "done").await?;
            }
            Job::AmongOthers => {
                // Another job for the same unit, which is not the one that was asked for.
                removed(&self.connection, number + 1, unit, "canceled").await?;
                removed(&self.connection, number, unit, "done").await?;
            }
            Job::Fails => removed(&self.connection, number, unit, "failed").await?,
            Job::Forged => removed(&self.other, number, unit, "done").await?,
            Job::SaidFirst | Job::Lost | Job::Hangs | Job::Denied | Job::BusEnds => {}
        }
        self.begun.notify_one();
        Ok(())
    }

    fn change(&self, member: &str, unit: &str, fails: bool) {
        let mut units = self.units.lock().unwrap();
        let unit = units.get_mut(unit).unwrap();
        match member {
            "StopUnit" => unit.active = "inactive",
            "ReloadUnit" => {}
            _ => {
                unit.active = if fails { "failed" } else { "active" };
                unit.invocation += 1;
                // A unit without a main process gets none.
                unit.main_pid += u32::from(unit.main_pid > 0);
            }
        }
    }
}

async fn removed(connection: &Connection, number: u32, unit: &str, result: &str) -> zbus::Result<()> {
    let body = (number, job_path(number), unit, result);
    connection.emit_signal(None::<&str>, MANAGER_PATH, MANAGER, "JobRemoved", &body).await
}

fn job_path(number: u32) -> ObjectPath<'static> {
    ObjectPath::try_from(format!("{MANAGER_PATH}/job/{number}")).unwrap()
}

/// Every other character is escaped, as systemd does it.
fn path_of(unit: &str) -> ObjectPath<'static> {
    let escaped: String = unit.bytes().map(|byte| format!("_{byte:02x}")).collect();
    ObjectPath::try_from(format!("{MANAGER_PATH}/unit/{escaped}")).unwrap()
}
