//! What the benchmark is asked for.

use std::path::PathBuf;

use clap::Parser;

/// Asks a real server about a large simulated fleet, over HTTP
#[derive(Debug, Clone, Parser)]
pub struct Arguments {
    /// Where the history is made once, and found again
    #[arg(long)]
    pub folder: PathBuf,
    /// Hosts
    #[arg(long, default_value_t = 2000)]
    pub hosts: usize,
    /// Processes of each host, about
    #[arg(long, default_value_t = 200)]
    pub processes: usize,
    /// How long the history has samples every 10 s, in minutes
    #[arg(long, default_value_t = 60)]
    pub minutes: i64,
    /// How long it has one sample a minute before that, in minutes
    #[arg(long, default_value_t = 0)]
    pub thinned_minutes: i64,
    /// The same seed gives the same fleet and the same questions
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How often each question is asked at most
    #[arg(long, default_value_t = 100)]
    pub runs: usize,
    /// No question is asked again after this many seconds of it
    #[arg(long, default_value_t = 20)]
    pub budget_s: u64,
    /// A question that takes more seconds is given up and counts as that
    #[arg(long, default_value_t = 60)]
    pub longest_s: u64,
    /// The parameter by which events are searched for a text, where the server has one
    #[arg(long)]
    pub events_text: Option<String>,
    /// Only make the history
    #[arg(long)]
    pub make_only: bool,
    /// Ask about the past only, without a live fleet
    #[arg(long)]
    pub past_only: bool,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    /// What the history holds.
    pub fn fleet(&self) -> String {
        let Self { hosts, processes, minutes, thinned_minutes, seed, .. } = self;
        format!(
            "{hosts} hosts with {processes} processes each, {minutes} min at 10 s after {thinned_minutes} min at a minute, \
             seed {seed}"
        )
    }
}
