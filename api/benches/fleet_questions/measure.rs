//! Asks one question again and again, and prints what that took.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ureq::Agent;

use crate::arguments::Arguments;

/// The aims of issue 13.
pub const FLEET_AIM_MS: u32 = 300;
pub const HOST_AIM_MS: u32 = 25;
pub const MEMORY_AIM_MIB: u32 = 1024;

/// What is asked, and how often.
pub struct Question<'a> {
    pub what: &'a str,
    /// The 99th percentile that it should keep.
    pub aim_ms: u32,
    /// The path and query of the next request.
    pub path: Box<dyn FnMut() -> String + 'a>,
}

/// What asking came to.
pub struct Outcome {
    each: Vec<Duration>,
    /// How often which status came, or what else.
    answers: BTreeMap<String, usize>,
    bytes: u64,
    pub timed_out: bool,
}

/// Asks as often as `arguments` say or until their budget is spent, and ends with the first that is not answered in time.
pub fn ask(address: &str, question: &mut Question, arguments: &Arguments) -> Outcome {
    let [budget, longest] = [arguments.budget_s, arguments.longest_s].map(Duration::from_secs);
    let agent: Agent =
        Agent::config_builder().timeout_global(Some(longest)).http_status_as_error(false).build().into();
    let (start, mut outcome) =
        (Instant::now(), Outcome { each: Vec::new(), answers: BTreeMap::new(), bytes: 0, timed_out: false });
    while outcome.each.len() < arguments.runs && !outcome.timed_out && start.elapsed() < budget {
        let url = format!("{address}{}", (question.path)());
        let begun = Instant::now();
        let answer = get(&agent, &url);
        outcome.each.push(begun.elapsed().min(longest));
        outcome.timed_out = begun.elapsed() >= longest;
        let answer = match answer {
            Ok((status, bytes)) => {
                outcome.bytes = outcome.bytes.max(bytes);
                status.to_string()
            }
            Err(ureq::Error::Timeout(_)) => "timeout".to_owned(),
            Err(error) => error.to_string(),
        };
        *outcome.answers.entry(answer).or_default() += 1;
    }
    outcome
}

/// As a browser asks: compressed. The status, and how many bytes came.
fn get(agent: &Agent, url: &str) -> Result<(u16, u64), ureq::Error> {
    let mut answer = agent.get(url).header("accept", "text/html").header("accept-encoding", "gzip").call()?;
    let bytes = answer.body_mut().with_config().limit(u64::MAX).read_to_vec()?.len();
    Ok((answer.status().as_u16(), bytes as u64))
}

/// The heads of the lines that [`Outcome::print`] prints.
pub fn print_heads() {
    println!(
        "{:<44} {:>9} {:>9} {:>9} {:>8} {:>5} {:>9} {:>7}  answers",
        "question", "p50 ms", "p99 ms", "max ms", "aim ms", "runs", "peak MiB", "KiB"
    );
}

impl Outcome {
    /// Prints it beside what should hold, and the server's `peak_mib` meanwhile.
    pub fn print(mut self, question: &Question, peak_mib: u64) {
        self.each.sort_unstable();
        // The nearest rank: of fewer than 100 runs, the 99th percentile is the longest.
        let at = |percent: usize| {
            let rank = (self.each.len() * percent).div_ceil(100).max(1);
            self.each.get(rank - 1).map_or(f64::NAN, in_ms)
        };
        let answers: Vec<_> = self.answers.iter().map(|(what, count)| format!("{what} × {count}")).collect();
        println!(
            "{:<44} {:>9.1} {:>9.1} {:>9.1} {:>8} {:>5} {peak_mib:>9} {:>7}  {}",
            question.what,
            at(50),
            at(99),
            at(100),
            question.aim_ms,
            self.each.len(),
            self.bytes / 1024,
            answers.join(", ")
        );
    }
}

fn in_ms(time: &Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
