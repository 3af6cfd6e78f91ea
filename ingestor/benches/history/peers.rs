//! The same questions asked of a table in SQLite and in PostgreSQL, which hold the same rows.
//!
//! Some days, of about 18 million rows of processes, are copied into all three. The others get the indexes that the
//! questions want; times are integers in both, so that the same SQL does for both.

use std::{fs, path::Path};

use fastrand::Rng;
use fleetps_ingestor::{
    catalog::SegmentFolder,
    filter::Filter,
    history::{History, Identity, Span, TopBy, TopGroup, TopQuery},
};

use crate::{
    load::{COPIES, Peer, csv},
    make::{DAY_US, END_US, HOSTS, PROCESSES, Size},
    postgres::Postgres,
    questions::{POINTS, Questions, Times, hosts, times},
    sqlite::Sqlite,
};

/// As many as the others load within some minutes.
const ROWS: i64 = 18_000_000;
pub fn compare(folder: &Path, size: Size) {
    let slice = tempfile::tempdir().unwrap();
    let end_us = END_US - size.fine_days * DAY_US;
    let rows_a_day = DAY_US / size.coarse_us * (HOSTS * PROCESSES) as i64;
    let days = (ROWS / rows_a_day).clamp(2, size.days - size.fine_days);
    let begin_us = end_us - days * DAY_US;
    let mut bytes = 0;
    for segment in SegmentFolder::scan(folder).unwrap().current {
        let stored_us = segment.name.first_stored_s * 1_000_000;
        if (begin_us..end_us).contains(&stored_us) {
            let name = segment.name.to_string();
            fs::copy(folder.join(&name), slice.path().join(&name)).unwrap();
            bytes += segment.bytes;
        }
    }
    let history = History::open(slice.path()).unwrap();
    export(&history, slice.path());
    let mut peers: Vec<Box<dyn Peer>> = vec![Box::new(Sqlite::load(slice.path(), &history))];
    match Postgres::load(slice.path()) {
        Ok(postgres) => peers.push(Box::new(postgres)),
        Err(why) => println!("PostgreSQL is left out: {why}"),
    }
    println!("{days} days of them take");
    println!("  {:<12} {:>8.0} MB", "fleetps", bytes as f64 / 1e6);
    for peer in &peers {
        println!(
            "  {:<12} {:>8.0} MB, {:.1} times",
            peer.name(),
            peer.bytes() as f64 / 1e6,
            peer.bytes() as f64 / bytes as f64
        );
    }
    let held = Span { from_us: begin_us, to_us: end_us };
    ask(Questions { history: &history, hosts: hosts(&history), held, rng: Rng::with_seed(2) }, &mut peers);
}

/// The rows as files that the others load.
fn export(history: &History, folder: &Path) {
    let database = history.database().unwrap();
    for (table, select) in COPIES {
        let path = csv(folder, table);
        let sql = format!("COPY ({select}) TO '{}' (HEADER false)", path.display());
        database.execute_batch(&sql).unwrap();
    }
}

/// What a question is about.
struct About {
    identity: Identity,
    span: Span,
}

/// Asks each question of all of them, about the same.
fn ask(mut questions: Questions<'_>, peers: &mut [Box<dyn Peer>]) {
    let history = questions.history;
    let mut about = |count: usize| -> Vec<About> {
        let one = |_| {
            let (identity, at_us) = questions.process();
            About { identity, span: Span { from_us: at_us - DAY_US, to_us: at_us } }
        };
        (0..count).map(one).collect()
    };
    one("table at a moment", include_str!("sql/moment.sql"), &about(100), peers, |about| {
        history.snapshot_at(&about.identity.host, about.span.to_us).unwrap();
    });
    one("host, 24 h", include_str!("sql/host.sql"), &about(50), peers, |about| {
        history.host_metrics(&about.identity.host, about.span, POINTS, &[]).unwrap();
    });
    one("process, 24 h", include_str!("sql/process.sql"), &about(50), peers, |about| {
        history.process_metrics(&about.identity, about.span, POINTS).unwrap();
    });
    one("top, 24 h", include_str!("sql/top.sql"), &about(5), peers, |about| {
        let (by, group) = (TopBy::Cpu, TopGroup::Name);
        history.top(&TopQuery { by, group, span: about.span, host: None, limit: 20 }).unwrap();
    });
    let filter = Filter::parse("postgres and mem > 10M").unwrap();
    one("search at a moment", include_str!("sql/search.sql"), &about(30), peers, |about| {
        history.search(&filter, about.span.to_us, 200).unwrap();
    });
}

fn one(question: &str, sql: &str, abouts: &[About], peers: &mut [Box<dyn Peer>], ours: impl Fn(&About)) {
    let mut next = abouts.iter().cycle();
    let mut own = times(abouts.len() - 1, || ours(next.next().unwrap()));
    let (median, slow) = (own.percentile(50), own.percentile(99));
    println!("{question:<20} fleetps    median {median:>9.1} ms   99 % {slow:>9.1} ms");
    for peer in peers {
        let mut next = abouts.iter().cycle();
        peer.ask(&filled(sql, next.next().unwrap()));
        let mut times =
            Times::new(next.take(abouts.len() - 1).map(|about| peer.ask(&filled(sql, about))).collect());
        println!(
            "{:<20} {:<10} median {:>9.1} ms   99 % {:>9.1} ms   {:.2} and {:.2} times fleetps",
            "",
            peer.name(),
            times.percentile(50),
            times.percentile(99),
            times.percentile(50) / median,
            times.percentile(99) / slow
        );
    }
}

fn filled(sql: &str, about: &About) -> String {
    sql.replace("$host", about.identity.host.as_str())
        .replace("$pid", &about.identity.pid.to_string())
        .replace("$started", &about.identity.started_at_us.to_string())
        .replace("$from", &(about.span.from_us / 1000).to_string())
        .replace("$to", &(about.span.to_us / 1000).to_string())
        .replace("$points", &POINTS.to_string())
}
