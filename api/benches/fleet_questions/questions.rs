//! The questions: of the past, at other moments each time so that none is asked twice; and of the present.

use std::cell::RefCell;

use fastrand::Rng;
use fleetps_agent::simulate::{Fleet, SimulationSettings};
use fleetps_nats::HostName;
use jiff::Timestamp;

use crate::{
    arguments::Arguments,
    make::{END_US, MINUTE_US},
    measure::{FLEET_AIM_MS, HOST_AIM_MS, Question},
};

/// A program of few hosts, one of most, and a figure.
const FILTERS: [&str; 3] = ["postgres", "sshd", "cpu%3E50"];
const SECOND_US: i64 = 1_000_000;

/// Draws hosts and moments.
pub struct Draw {
    rng: RefCell<Rng>,
    hosts: Vec<HostName>,
    from_us: i64,
}

impl Draw {
    pub fn new(arguments: &Arguments) -> Self {
        let Arguments { hosts, processes, .. } = *arguments;
        // One process each: only the names count.
        let settings =
            SimulationSettings { hosts, processes: processes.min(1), ..SimulationSettings::default() };
        Self {
            rng: RefCell::new(Rng::with_seed(arguments.seed)),
            hosts: Fleet::new(&settings).host_names().to_vec(),
            from_us: END_US - (arguments.minutes + arguments.thinned_minutes) * MINUTE_US,
        }
    }

    fn host(&self) -> &HostName {
        &self.hosts[self.rng.borrow_mut().usize(..self.hosts.len())]
    }

    fn filter(&self) -> &'static str {
        FILTERS[self.rng.borrow_mut().usize(..FILTERS.len())]
    }

    /// A moment at which every host has been sampled.
    fn moment_us(&self) -> i64 {
        self.rng.borrow_mut().i64(self.from_us + MINUTE_US / 2..END_US)
    }

    /// All the history, but for a part of its last second.
    fn whole_span(&self) -> String {
        let to_us = END_US - self.rng.borrow_mut().i64(0..SECOND_US);
        span(self.from_us, to_us)
    }

    /// All the history up to a moment.
    fn earlier_span(&self) -> String {
        span(self.from_us, self.moment_us())
    }

    /// An hour that ends in the last minute.
    fn last_hour(&self) -> String {
        let to_us = END_US - self.rng.borrow_mut().i64(0..MINUTE_US);
        span(to_us - 60 * MINUTE_US, to_us)
    }
}

fn span(from_us: i64, to_us: i64) -> String {
    format!("from={}&to={}", written(from_us), written(to_us))
}

fn written(at_us: i64) -> String {
    Timestamp::from_microsecond(at_us).unwrap().to_string()
}

fn of_fleet<'a>(what: &'a str, path: impl FnMut() -> String + 'a) -> Question<'a> {
    Question { what, aim_ms: FLEET_AIM_MS, path: Box::new(path) }
}

fn of_host<'a>(what: &'a str, path: impl FnMut() -> String + 'a) -> Question<'a> {
    Question { what, aim_ms: HOST_AIM_MS, path: Box::new(path) }
}

/// The least that an answer over HTTP takes: the limit of everything below it.
pub fn nothing<'a>() -> Question<'a> {
    of_host("nothing (/healthz), the limit of HTTP", || "/healthz".to_owned())
}

/// Of the past.
pub fn past<'a>(draw: &'a Draw, arguments: &'a Arguments) -> Vec<Question<'a>> {
    let mut last_step = (draw.hosts[0].clone(), draw.from_us + MINUTE_US);
    let step = move || {
        last_step.1 += 10 * SECOND_US;
        format!("/hosts/{}?at={}", last_step.0, written(last_step.1))
    };
    let mut all = vec![
        of_host("host page at a moment", || {
            format!("/hosts/{}?at={}", draw.host(), written(draw.moment_us()))
        }),
        of_host("host page, sample by sample", step),
        of_host("events of a host, newest 200", || {
            format!("/hosts/{}/events?{}", draw.host(), draw.whole_span())
        }),
        of_fleet("search at a moment", || {
            format!("/search?q={}&at={}", draw.filter(), written(draw.moment_us()))
        }),
        of_fleet("top, 1 h", || format!("/top?{}", draw.last_hour())),
        of_fleet("events, newest 200", || format!("/events?{}", draw.whole_span())),
        of_fleet("events, 200 before a moment", || format!("/events?{}", draw.earlier_span())),
        of_fleet("events, kind=exited", || format!("/events?kind=exited&{}", draw.whole_span())),
        of_fleet("events, kind=restart_loop", || format!("/events?kind=restart_loop&{}", draw.whole_span())),
    ];
    if let Some(parameter) = &arguments.events_text {
        let path = move || format!("/events?{parameter}={}&{}", FILTERS[0], draw.whole_span());
        all.push(of_fleet("events with a text", path));
    }
    all
}

/// Of the present.
pub fn present(draw: &Draw) -> Vec<Question<'_>> {
    vec![
        of_host("host page now", || format!("/hosts/{}", draw.host())),
        of_fleet("fleet page", || "/".to_owned()),
        of_fleet("hosts as JSON", || "/api/v1/hosts".to_owned()),
        of_fleet("search now", || format!("/search?q={}", draw.filter())),
    ]
}
