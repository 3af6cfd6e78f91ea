//! The commands that answer in a terminal, one file per command. Strings from hosts are escaped so that they cannot
//! drive the terminal.

mod alert;
mod alert_channel;
mod alert_silence;
mod audit;
mod backup;
mod command;
mod control_key;
mod enrol_token;
mod field;
mod history;
mod host;
mod hosts;
mod legacy;
mod ps;
mod server;
mod sql;
mod table;
mod time;
mod tls;
mod top;
mod tree;
mod user;

pub(crate) use alert::{AlertCommand, alert};
pub(crate) use audit::{AuditCommand, audit};
pub(crate) use backup::{backup, restore};
pub(crate) use command::{CommandCommand, command};
pub(crate) use control_key::{ControlKeyCommand, control_key};
pub(crate) use enrol_token::{EnrolTokenArgs, enrol_token};
pub(crate) use history::{HistoryCommand, history};
pub(crate) use host::{HostCommand, host};
pub(crate) use hosts::hosts;
pub(crate) use legacy::{LegacyCommand, legacy};
pub(crate) use ps::{PsArgs, ps};
pub(crate) use server::ServerArgs;
pub(crate) use sql::{Format, sql};
pub(crate) use time::SpanArgs;
pub(crate) use tls::{TlsCommand, tls};
pub(crate) use top::{TopArgs, top};
pub(crate) use user::{UserCommand, user};

use crate::display::is_treacherous;

/// Writes an answer.
fn write(text: &str) -> anyhow::Result<()> {
    fleetps_nats::out!("{text}");
    Ok(())
}

/// JSON on one line, in which what could drive a terminal is written as `\u…`; for a program it is the same.
fn json(value: &serde_json::Value) -> String {
    let mut text = String::new();
    for character in value.to_string().chars() {
        match is_treacherous(character) {
            // Outside of texts JSON has no such characters.
            true => {
                character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| text += &format!("\\u{unit:04x}"))
            }
            false => text.push(character),
        }
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_the_same_for_a_program_and_drives_no_terminal() {
        let value = serde_json::json!({"name": "a\u{9b}31m\u{1b}[0m\u{202e}\u{e0041}ä\n\"\\"});
        let text = json(&value);
        assert!(!text.trim_end().chars().any(is_treacherous), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
