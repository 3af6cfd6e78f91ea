use clap::Parser;
use fleetps_nats::{
    settings::Flags,
    units::{parse_bytes, parse_duration},
};

use super::*;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    flags: Flags<FleetpsProgram>,
}

/// The settings of these arguments alone; or why there are none.
fn load(arguments: &[&str]) -> anyhow::Result<Config> {
    let cli = Cli::try_parse_from(["fleetps"].iter().chain(arguments))?;
    Config::of(&cli.flags.layers_with([])?, cli.flags.file(), false)
}

/// The settings of a file with this text alone; or why there are none.
fn read(text: &str) -> anyhow::Result<Config> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    load(&["--config", file.path().to_str().unwrap()])
}

#[test]
fn what_is_printed_is_read_again_and_says_the_same() {
    let text = load(&["--demo", "7", "--host", "web-01"]).unwrap().to_toml().unwrap();
    assert_eq!(read(&text).unwrap().to_toml().unwrap(), text);
}

#[test]
fn an_unknown_key_and_a_bad_value_are_named() {
    let unknown = read("lisen = \"127.0.0.1:1\"").unwrap_err().to_string();
    assert!(unknown.contains("lisen") && unknown.contains("listen"), "{unknown}");
    let bad = read("[sample]\ninterval = \"soon\"").unwrap_err().to_string();
    assert!(bad.contains("soon") && bad.contains("10s"), "{bad}");
}

#[test]
fn absurd_values_of_every_setting_never_start_silently() {
    let refused = |text: &str| format!("{:#}", read(text).map(|_| ()).expect_err(text));
    let all = load(&["--demo", "7"]).unwrap();
    let all: toml::Table = toml::from_str(&all.to_toml().unwrap()).unwrap();
    let mut tried = 0;
    for (section, key, value) in leaves(&all) {
        // Partition 0 and no simulated host are defaults; a word, a path or a list is read as such.
        let absurd: &[&str] = match &value {
            toml::Value::Integer(_) => &["-1", "9223372036854775807", "1.5", "\"1\""],
            toml::Value::String(text) if parse_duration(text).is_ok() || parse_bytes(text).is_ok() => {
                &["\"0\"", "\"0s\"", "\"1ns\"", "\"10000000d\"", "\"16 EiB\"", "\"1 B\"", "0", "-1", "\"\""]
            }
            _ => &["0", "-1", "1.5"],
        };
        for value in absurd {
            let refusal = refused(&format!("{section}{key} = {value}\n"));
            assert!(refusal.contains(&key), "{section}{key} = {value}: {refusal}");
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
    for (text, meant) in [
        ("lisen = 1", "listen"),
        ("[history]\nseal_row = 1", "seal_rows"),
        ("[sign_in]\nidle_limits = 1", "idle_limit"),
    ] {
        assert!(refused(text).contains(&format!("did you mean {meant}?")), "{}", refused(text));
    }
    assert!(load(&["--demo", "10000000"]).unwrap_err().to_string().contains("demo_hosts"));
}

/// Every setting that is no table: the head of its section, its name, its value.
fn leaves(table: &toml::Table) -> Vec<(String, String, toml::Value)> {
    let mut leaves = Vec::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => leaves.extend(
                leaves_of(inner).into_iter().map(|(inner, value)| (format!("[{key}]\n"), inner, value)),
            ),
            value => leaves.push((String::new(), key.clone(), value.clone())),
        }
    }
    leaves
}

fn leaves_of(table: &toml::Table) -> Vec<(String, toml::Value)> {
    table.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[test]
fn without_a_sign_in_pages_are_not_served_to_other_machines() {
    for (listen, is_served) in [("0.0.0.0:8080", false), ("192.0.2.1:80", false), ("[::1]:8080", true)] {
        let loaded = load(&["--listen", listen, "--auth", "off"]);
        assert_eq!(loaded.is_ok(), is_served, "{listen:?}");
        if let Err(refusal) = loaded {
            assert!(refusal.to_string().contains("Leave out --auth off"), "{refusal}");
        }
    }
}

#[test]
fn the_settings_of_the_agent_may_have_their_section_of_before() {
    let config = read("[agent]\ninterval = \"3s\"\n[history]\nseal_rows = 7").unwrap();
    assert_eq!((config.sample.interval.as_secs(), config.history.seal_rows), (3, 7));
}

#[test]
fn one_flag_allows_plaintext_of_browsers_agents_and_to_a_broker() {
    let config = load(&["--plaintext", "--nats", "nats://192.0.2.1"]).unwrap();
    assert!(config.tls.plaintext && config.wire.plaintext);
}
