//! `fleetps audit`: whether the audit is whole.

use std::time::Duration;

use clap::Subcommand;
use fleetps_ingestor::audit::{Verified, verify};
use fleetps_nats::audit::{Audit, Chained};

use crate::{
    config::Config,
    display::{count, time, visible},
};

/// How long to wait for the broker; the segments are checked without it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Follow the chain of hashes through everything that is kept; name the first entry that was changed or is missing
    Verify {
        /// A hash that an earlier check has shown: say whether that entry is still in the chain
        #[arg(long, value_name = "HASH", value_parser = hash)]
        expect: Option<String>,
    },
}

/// A hash as it is shown. Anything else is a slip of the hand, and no sign that entries were removed.
fn hash(text: &str) -> Result<String, String> {
    /// SHA-256 in hexadecimal digits.
    const DIGITS: usize = 64;
    let text = text.trim();
    match text.len() == DIGITS && text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(format!("a hash has {DIGITS} hexadecimal digits, as `fleetps audit verify` shows it")),
    }
}

/// Runs a subcommand.
///
/// # Errors
/// When the chain is broken, or cannot be read.
pub(crate) fn audit(config: &Config, command: &AuditCommand) -> anyhow::Result<()> {
    let AuditCommand::Verify { expect } = command;
    let history = &config.history.history;
    anyhow::ensure!(
        history.is_dir(),
        "there is no history at {}; name the data folder with --data DIR",
        history.display()
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stream = runtime.block_on(async { tokio::time::timeout(TIMEOUT, on_the_broker(config)).await });
    let stream =
        stream.unwrap_or_else(|_| Err(anyhow::anyhow!("it does not answer within {} s", TIMEOUT.as_secs())));
    if let Err(error) = &stream {
        fleetps_nats::errln!(
            "The broker was not asked; only what is in segments is checked. ({})",
            visible(&format!("{error:#}"))
        );
    }
    let verified = verify(history, &stream.unwrap_or_default())
        .map_err(|error| anyhow::Error::new(error).context("THE AUDIT IS NOT WHOLE"))?;
    if let Some(hash) = expect {
        anyhow::ensure!(
            verified.holds(hash),
            "THE AUDIT IS NOT WHOLE: no entry has the hash {}; entries were removed or rewritten since it was shown",
            visible(hash)
        );
    }
    super::write(&report(&verified))
}

async fn on_the_broker(config: &Config) -> anyhow::Result<Vec<Chained>> {
    let client = config.broker()?.connect("fleetps audit").await?;
    let audit = Audit::open(&client).await?;
    let mut entries: Vec<Chained> = Vec::new();
    loop {
        let next = entries.last().map_or(1, |last| last.sequence + 1);
        match audit.read(next).await? {
            more if more.is_empty() => return Ok(entries),
            more => entries.extend(more),
        }
    }
}

fn report(verified: &Verified) -> String {
    let Some(newest) = verified.chains.last() else {
        return "The audit is empty: nothing was audited yet.\n".to_owned();
    };
    let mut text = format!(
        "The audit is whole: {} entries, {} of them on the broker only.\n",
        count(verified.entries),
        count(verified.on_the_broker)
    );
    for chain in &verified.chains {
        let begun = match chain.epoch_s {
            Some(epoch_s) => format!("of the stream since {}", time(epoch_s.saturating_mul(1_000_000))),
            None => "of the stream as it is now".to_owned(),
        };
        text += &format!("  entries {} to {} {begun}\n", count(chain.first), count(chain.last.sequence));
    }
    for (first, last) in &verified.gaps {
        text += &format!(
            "  entries {} to {} were lost by the broker, as the entry after them says\n",
            count(*first),
            count(*last)
        );
    }
    if verified.chains.len() > 1 {
        text += "Each but the first begins because the broker's stream was made anew or lost its end. If nobody did that, \
                 ask who had the data folder.\n";
    }
    text + &format!(
        "The last hash is {}\nKeep it elsewhere: `fleetps audit verify --expect HASH` says later whether it is still in the \
         chain, which only somebody who can write the data folder and the broker could have made anew.\n",
        newest.last.hash
    )
}
