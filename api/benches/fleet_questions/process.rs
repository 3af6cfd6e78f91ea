//! The processes beside the benchmark: the server that is asked, and this program again as simulator and as ingestor.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use fleetps_agent::simulate::{self, SimulationSettings};
use fleetps_ingestor::IngestorSettings;
use fleetps_nats::{
    connection::Broker,
    server::{Part, broker_in},
};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::arguments::Arguments;

/// Set for this program where it is a part: which, and the data folder.
const PART: &str = "FLEETPS_BENCH_PART";
const PART_DATA: &str = "FLEETPS_BENCH_DATA";
const SIMULATOR: &str = "simulator";
const INGESTOR: &str = "ingestor";
/// What `/proc/PID/stat` counts CPU time in (`USER_HZ`).
const TICKS_PER_S: f64 = 100.0;
/// Makes Linux forget the highest resident set so far (`clear_refs` in proc(5)).
const FORGET_PEAK: &str = "5";

/// A process that ends with the benchmark.
pub struct Process {
    /// What it is, for the report.
    pub name: &'static str,
    child: Child,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts a web server that reads the history in `data`; returns its address, too.
    pub fn server(data: &Path, broker: &Broker) -> (Self, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleetps"));
        command.arg("--data").arg(data).args(["--listen", "127.0.0.1:0", "--auth", "off"]);
        command.args(["--nats", &broker.url, "--nkey"]).arg(broker.nkey_file.as_ref().unwrap());
        let mut child = command.arg("serve").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address =
            lines.find_map(|line| Some(line.unwrap().strip_prefix("fleetps serves ")?.trim().to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        (Self { name: "web server", child }, address.expect("the server ended"))
    }

    /// Starts the simulator of the hosts that `arguments` names.
    pub fn simulator(data: &Path, arguments: &Arguments) -> Self {
        Self::part(SIMULATOR, data, arguments)
    }

    /// Starts an ingestor, with a history of its own: the one that is asked stays as it was made.
    pub fn ingestor(data: &Path, arguments: &Arguments) -> Self {
        Self::part(INGESTOR, data, arguments)
    }

    fn part(name: &'static str, data: &Path, arguments: &Arguments) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--folder").arg(&arguments.folder);
        for (flag, value) in [("--hosts", arguments.hosts), ("--processes", arguments.processes)] {
            command.args([flag, &value.to_string()]);
        }
        command.env(PART, name).env(PART_DATA, data).stdin(Stdio::piped());
        Self { name, child: command.spawn().unwrap() }
    }

    /// The resident set since [`Self::forget_peak`] at most, in MiB.
    pub fn peak_mib(&self) -> u64 {
        let status = fs::read_to_string(self.file("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.unwrap_or_default() / 1024
    }

    /// The peak counts from now.
    pub fn forget_peak(&self) {
        let _ = fs::write(self.file("clear_refs"), FORGET_PEAK);
    }

    /// CPU time so far.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(self.file("stat")).unwrap_or_default();
        // Behind the name in parentheses; user and system time are the 14th and 15th field of all.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u32 = fields.skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
        Duration::from_secs_f64(f64::from(ticks) / TICKS_PER_S)
    }

    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.child.id())
    }
}

/// Where this process was started as a part: is that, until its input ends.
pub fn be_a_part(arguments: &Arguments) -> bool {
    let (Some(part), Some(data)) = (std::env::var_os(PART), std::env::var_os(PART_DATA)) else {
        return false;
    };
    let (data, end) = (Path::new(&data).to_owned(), CancellationToken::new());
    let ended = end.clone();
    std::thread::spawn(move || {
        std::io::stdin().lines().for_each(drop);
        ended.cancel();
    });
    let runtime = Runtime::new().unwrap();
    if part == SIMULATOR {
        let broker = broker_in(&data, Part::Simulator).unwrap();
        let Arguments { hosts, processes, .. } = *arguments;
        let settings = SimulationSettings { hosts, processes, ..SimulationSettings::default() };
        runtime.block_on(simulate::run(settings, broker, end)).unwrap();
    } else {
        let broker = broker_in(&data, Part::Ingestor).unwrap();
        let settings = IngestorSettings { history: data.join("live"), ..IngestorSettings::default() };
        runtime.block_on(async {
            let client = broker.connect("ingestor").await.unwrap();
            fleetps_ingestor::run(client, settings, end).await.unwrap();
        });
    }
    true
}
