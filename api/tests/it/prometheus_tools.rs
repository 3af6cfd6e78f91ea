//! Prometheus's own `promtool` asks a real server.
//!
//! Debian's package `prometheus` has it. `PROMTOOL` names another; without either the test says that it was left out.

use std::process::Command;

use tokio::net::TcpListener;

use crate::prometheus::{BEGIN_S, site};

/// Where it is, if it is; a named one must be there.
fn promtool() -> Option<String> {
    let named = std::env::var("PROMTOOL").ok();
    let tool = named.clone().unwrap_or_else(|| "promtool".to_owned());
    let answer = Command::new(&tool).arg("--version").output();
    assert!(answer.is_ok() || named.is_none(), "{tool}: {answer:?}");
    answer.ok().map(|_| tool)
}

async fn run(tool: String, arguments: Vec<String>) -> String {
    let output = tokio::task::spawn_blocking(move || {
        Command::new(&tool).args(&arguments).env_remove("http_proxy").output().unwrap()
    });
    let output = output.await.unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_understands_every_answer() {
    let Some(tool) = promtool() else {
        eprintln!("left out: there is no promtool here (apt-get install prometheus, or PROMTOOL)");
        return;
    };
    let site = site();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}/prometheus", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { axum::serve(listener, site.router).await });
    let (start, end) = (format!("--start={BEGIN_S}"), format!("--end={}", BEGIN_S + 290));
    let at = format!("--time={}", BEGIN_S + 205);
    let ask = |arguments: &[&str]| {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        run(tool.clone(), ["query".to_owned()].into_iter().chain::<Vec<String>>(arguments).collect())
    };
    let instant =
        ask(&["instant", &at, &server, "sum(rate(fleetps_host_network_received_bytes_total[1m]))"]).await;
    assert!(instant.contains("{} => 2000 @"), "{instant}");
    let program = "rate(fleetps_program_cpu_seconds_total{program=\"app\",host=\"web-1\"}[1m])";
    let instant = ask(&["instant", &at, &server, program]).await;
    assert!(instant.contains("program=\"app\", user=\"root\"} => 0.4 @"), "{instant}");
    let range =
        ask(&["range", &start, &end, "--step=10s", &server, "fleetps_host_cpu_percent{host=\"web-1\"}"])
            .await;
    assert_eq!(range.lines().filter(|line| line.contains(" @[")).count(), 30, "{range}");
    assert!(range.starts_with("fleetps_host_cpu_percent{host=\"web-1\"} =>"), "{range}");
    let series = ask(&["series", "--match=fleetps_program_processes", &start, &end, &server]).await;
    assert_eq!(series.lines().count(), 4, "{series}");
    let hosts = ask(&["labels", &start, &end, &server, "host"]).await;
    assert_eq!(hosts.lines().collect::<Vec<_>>(), ["web-1", "web-2"]);
    serving.abort();
}
