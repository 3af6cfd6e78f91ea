//! Metrics of the whole program, as it runs: with an ingestor that seals, and hosts that are simulated.

use std::{path::Path, process::Command};

use fleetps::testing::connections::{Connections, Limits, serve};
use fleetps::testing::{auth::Addresses, tls::TlsListener};
use tokio::net::TcpListener;

use super::{
    OPEN_METRICS,
    parsed::{Scrape, parse, parse_with_python},
    token,
};
use crate::{
    guarded::Guarded,
    program::{Running, until},
};

fn get(address: &str, path: &str) -> Option<String> {
    let request = ureq::get(format!("{address}{path}")).header("accept", OPEN_METRICS);
    request.call().ok()?.body_mut().read_to_string().ok()
}

#[test]
fn a_pipeline_with_hosts_tells_how_far_it_is_and_what_its_programs_use() {
    let data = tempfile::tempdir().unwrap();
    let running = Running::start(data.path(), &["--demo", "5", "--set", "history.seal_interval=1s"]);
    let read = |path: &str| -> Option<Scrape> { Some(parse(&get(&running.address, path)?, true)) };
    let of_0 = [("partition", "0")];
    let first = until("snapshots are sealed", || {
        let read = read("/metrics")?;
        let segments = read.series("fleetps_segments").any(|sample| sample.value > 0.0);
        // Admission says how it is every few seconds.
        read.value("fleetps_bounded_limit", &[("of", "admission-answers")])?;
        (segments && read.value("fleetps_seals_total", &of_0)? >= 1.0).then_some(read)
    });
    super::check_declared(&first, "/metrics");
    for part in ["broker", "intake", "history", "state"] {
        assert_eq!(first.value("fleetps_ready", &[("part", part)]), Some(1.0), "{part}");
    }
    assert!(first.value("fleetps_ingest_snapshots_stored_total", &of_0).unwrap() >= 6.0);
    assert!(first.value("fleetps_ingest_seal_lag_seconds", &of_0).unwrap() < 60.0);
    assert!(first.value("process_resident_memory_bytes", &[]).unwrap() > 1e6);
    assert!(first.series("fleetps_segment_bytes").all(|sample| sample.value > 0.0));
    let bounded = |name: &str| {
        let of_ingestor = [("of", name), of_0[0]];
        let labels = if name.starts_with("ingest-") { &of_ingestor[..] } else { &of_ingestor[..1] };
        first.value("fleetps_bounded_limit", labels)
    };
    for (name, limit) in super::bounds::GAUGES {
        let known = bounded(name).unwrap_or_else(|| panic!("{name} has no gauge"));
        assert!(limit.is_none_or(|limit| limit == known), "{name}: {known}");
    }
    assert_eq!(first.series("fleetps_bounded_limit").count(), super::bounds::GAUGES.len());
    assert!(
        first
            .series("fleetps_bounded_in_use")
            .zip(first.series("fleetps_bounded_limit"))
            .all(|(used, limit)| used.value <= limit.value)
    );
    let path = "/metrics/hosts?programs=20";
    read(path).unwrap();
    let host = [("host", "here")];
    until("a counter grows", || {
        let read = read(path)?;
        let used: f64 = read
            .series("fleetps_program_cpu_seconds_total")
            .filter(|sample| sample.label("host") == "here")
            .map(|sample| sample.value)
            .sum();
        (used > 0.0 && read.series("fleetps_host_up").count() == 6).then_some(())
    });
    // From now on no counter falls.
    let mut before = read(path).unwrap();
    for _ in 0..5 {
        let seen = before.value("fleetps_host_uptime_seconds", &host);
        let now = until("another snapshot", || {
            let now = read(path)?;
            (now.value("fleetps_host_uptime_seconds", &host) != seen).then_some(now)
        });
        for sample in before.samples.iter().filter(|sample| sample.name.starts_with("fleetps_program_cpu")) {
            let labels: Vec<(&str, &str)> =
                sample.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
            let later = now.value(&sample.name, &labels).unwrap_or_else(|| panic!("{labels:?} is gone"));
            assert!(later >= sample.value, "{labels:?}: {} and then {later}", sample.value);
        }
        before = now;
    }
    parse_with_python(&get(&running.address, path).unwrap(), true);
    parse_with_python(&get(&running.address, "/metrics").unwrap(), true);
    running.stop();
}

#[test]
fn metrics_without_a_token_are_for_this_machine_alone() {
    let data = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:9464", "192.0.2.1:9464", "[::]:9464"] {
        let mut command = crate::program::fleetps(data.path());
        let output = command.args(["--metrics-listen", address]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("cannot serve metrics on"), "{address}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manuals_python_reads_the_hosts() {
    let has_client = Command::new("python3").args(["-c", "import prometheus_client"]).output();
    if !has_client.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: python3 has no prometheus_client; `python3 -m pip install prometheus-client`");
        return;
    }
    let guarded = Guarded::new(Default::default()).await;
    let _anna = guarded.anna().await;
    guarded.user("bert", "viewer").await;
    let token = token(&guarded, "bert", "viewer", "metrics").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = guarded.site.shared.shutdown.clone();
    let connections = Connections::new(Limits::of_this_process(), Addresses::default());
    let door = TlsListener::plaintext(listener);
    let serving = tokio::spawn(serve(door, guarded.site.router.clone(), connections, shutdown.clone()));
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let script = manual.split("```python\n").nth(1).unwrap().split("```").next().unwrap().to_owned();
    let asking = tokio::task::spawn_blocking(move || {
        let mut python = Command::new("python3");
        python.args(["-c", &script]).env("FLEETPS_SERVER", format!("http://{address}"));
        python.env("FLEETPS_TOKEN", token).output().unwrap()
    });
    let output = asking.await.unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "web-1 31.4", "{complaint}");
    shutdown.cancel();
    serving.await.unwrap();
}
