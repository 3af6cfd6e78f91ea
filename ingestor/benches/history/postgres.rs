//! A PostgreSQL server of its own with the rows, asked through one session of psql, which measures by itself.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use crate::load::{COPIES, INDEXES, Peer, TABLES, csv};

/// Where Debian puts the servers of each version.
const SERVERS: &str = "/usr/lib/postgresql";
/// As much memory as the others have; written rows need not survive.
const OPTIONS: &str =
    "-c listen_addresses= -c shared_buffers=1GB -c work_mem=256MB -c max_wal_size=8GB -c fsync=off";

pub struct Postgres {
    programs: PathBuf,
    data: PathBuf,
    psql: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Runs a program as the user who may run the server, who is never root.
fn as_postgres(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program).current_dir("/");
    command
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    output.status.success().then_some(()).ok_or_else(|| format!("{command:?}: {said}"))
}

impl Postgres {
    /// Starts one with the rows; an error where none is installed.
    pub fn load(folder: &Path) -> Result<Self, String> {
        let versions = fs::read_dir(SERVERS).map_err(|error| format!("{SERVERS}: {error}"))?;
        let programs = versions
            .flatten()
            .map(|entry| entry.path().join("bin"))
            .max()
            .ok_or("no version is installed")?;
        run(Command::new("chmod").arg("-R").arg("a+rX").arg(folder))?;
        let data = folder.join("postgres");
        fs::create_dir(&data).map_err(|error| error.to_string())?;
        if rustix::process::geteuid().is_root() {
            run(Command::new("chown").arg("postgres").arg(&data))?;
        }
        run(as_postgres(&programs.join("initdb")).args(["-A", "trust", "-U", "bench", "-D"]).arg(&data))?;
        let options = format!("{OPTIONS} -k {}", data.display());
        run(as_postgres(&programs.join("pg_ctl"))
            .args(["-w", "-o", &options, "-D"])
            .arg(&data)
            .arg("-l")
            .arg(data.join("log"))
            .arg("start"))?;
        let mut psql = Command::new(programs.join("psql"))
            .args(["-qAt", "-U", "bench", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-h"])
            .arg(&data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let (input, output) = (psql.stdin.take().unwrap(), BufReader::new(psql.stdout.take().unwrap()));
        let mut server = Self { programs, data, psql, input, output };
        server.ask(&format!("\\timing on\n\\o /dev/null\nBEGIN; {TABLES} COMMIT;\nSELECT 1;"));
        for (table, _) in COPIES {
            server.ask(&format!("COPY {table} FROM '{}' (FORMAT csv);", csv(folder, table).display()));
        }
        server.ask(INDEXES);
        server.ask("VACUUM; CHECKPOINT;");
        Ok(server)
    }
}

impl Peer for Postgres {
    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    fn ask(&mut self, sql: &str) -> Duration {
        writeln!(self.input, "{sql}\n\\echo done").unwrap();
        let mut spent_ms = 0.0;
        for line in (&mut self.output).lines() {
            let line = line.unwrap();
            if line == "done" {
                return Duration::from_secs_f64(spent_ms / 1e3);
            }
            // "Time: 12.345 ms", and for longer ones more in brackets.
            let time =
                line.strip_prefix("Time: ").and_then(|rest| rest.split(' ').next()?.parse::<f64>().ok());
            spent_ms = time.unwrap_or(spent_ms);
        }
        panic!("psql ended");
    }

    fn bytes(&self) -> u64 {
        let du = Command::new("du").args(["-sb", "--exclude=pg_wal"]).arg(&self.data).output().unwrap();
        String::from_utf8_lossy(&du.stdout).split_whitespace().next().unwrap().parse().unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let stopped = run(as_postgres(&self.programs.join("pg_ctl"))
            .args(["-m", "immediate", "-D"])
            .arg(&self.data)
            .arg("stop"));
        if let Err(why) = stopped {
            eprintln!("the server was not stopped: {why}");
        }
        // It still waits for questions.
        let _ = self.psql.kill();
        let _ = self.psql.wait();
    }
}
