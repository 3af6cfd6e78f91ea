use fleetps_nats::own_figures::OwnFigure;

use super::{super::rule::HostMeasure, *};
use crate::filter::Figure;

fn read(sentence: &str) -> Result<Rule, SentenceError> {
    Rule::parse("rule", 1, Severity::Warning, sentence)
}

fn figure(word: &str) -> Measure {
    Measure::Process(Figure::find(word).unwrap())
}

fn own(word: &str) -> Measure {
    Measure::Host(HostMeasure::find(word).unwrap())
}

#[test]
fn a_sentence_says_what_is_measured_over_what_and_when_that_is_too_much() {
    let minutes = |minutes: u64| Lasting::For(Duration::from_secs(60 * minutes));
    for (sentence, measure, over, raise, clear, lasting) in [
        ("cpu > 90%", own("cpu_percent"), Over::Host, 90.0, 81.0, minutes(0)),
        ("memory>95% clear 90 for 5m", own("memory"), Over::Host, 95.0, 90.0, minutes(5)),
        ("load_1 > 8 3 of 5", own("load_1"), Over::Host, 8.0, 7.2, Lasting::Samples { hits: 3, of: 5 }),
        (
            "network_sent_bytes/s > 100M",
            own("network_sent_bytes/s"),
            Over::Host,
            104_857_600.0,
            94_371_840.0,
            minutes(0),
        ),
        ("cpu > 95% for 1h over process", figure("cpu"), Over::Process, 95.0, 85.5, minutes(60)),
        (
            "mem > 4G over program where user:www-data",
            figure("mem"),
            Over::Program,
            4_294_967_296.0,
            3_865_470_566.4,
            minutes(0),
        ),
        ("CPU > 200 OVER host WHERE name:java", figure("cpu"), Over::Host, 200.0, 180.0, minutes(0)),
        ("mem% > 20 where name:java", figure("mem%"), Over::Process, 20.0, 18.0, minutes(0)),
        ("threads > 500", figure("threads"), Over::Process, 500.0, 450.0, minutes(0)),
        ("disk > 90% clear 85% for 10m", Measure::Disk, Over::Filesystem, 90.0, 85.0, minutes(10)),
        ("count > 5 over user where name:ssh", Measure::Count, Over::User, 5.0, 5.0, minutes(0)),
    ] {
        let rule = read(sentence).unwrap_or_else(|error| panic!("{sentence}: {error}"));
        assert_eq!((rule.measure, rule.over, rule.lasting), (measure, over, lasting), "{sentence}");
        assert_eq!((rule.threshold.is_above, rule.threshold.raise), (true, raise), "{sentence}");
        assert!((rule.threshold.clear - clear).abs() < 1e-6, "{sentence}: {}", rule.threshold.clear);
        assert_eq!(rule.sentence, sentence);
    }
    let gone = read("count < 1 for 1m where cmd:nginx").unwrap();
    assert_eq!((gone.measure, gone.over), (Measure::Count, Over::Host));
    assert_eq!(gone.threshold, Threshold { is_above: false, raise: 1.0, clear: 1.0 });
    let soon = read("disk_full_in < 2d clear 3d for 30m").unwrap();
    assert_eq!((soon.measure, soon.over), (Measure::DiskFullIn, Over::Filesystem));
    assert_eq!(soon.threshold, Threshold { is_above: false, raise: 172_800.0, clear: 259_200.0 });
    let latest = read("disk_full_in < 180d").unwrap().threshold.clear;
    assert!(
        (latest / 86_400.0 - 200.0).abs() < 1e-6,
        "within the year of a disk that does not grow: {latest}"
    );
    let gone = |sentence: &str| {
        let rule = read(sentence).unwrap();
        (rule.measure, rule.over, rule.threshold.raise, rule.filter.is_empty())
    };
    assert_eq!(gone("gone for 5m"), (Measure::Gone, Over::Unit, 300.0, true));
    assert_eq!(gone("GONE over program for 1h"), (Measure::Gone, Over::Program, 3_600.0, true));
    assert_eq!(gone("gone for 71h"), (Measure::Gone, Over::Unit, 255_600.0, true));
    let leak = read("memory_full_in < 3d clear 5d for 30m").unwrap();
    assert_eq!((leak.measure, leak.over), (Measure::MemoryFullIn, Over::Process));
    assert_eq!(leak.threshold, Threshold { is_above: false, raise: 259_200.0, clear: 432_000.0 });
    let unusual = read("unusual > 20%").unwrap();
    assert_eq!(
        (unusual.measure, unusual.over, unusual.threshold.raise),
        (Measure::Unusual, Over::Host, 20.0)
    );
    let silent = read("silent for 2m").unwrap();
    assert_eq!((silent.measure, silent.over, silent.threshold.raise), (Measure::Silent, Over::Host, 120.0));
}

#[test]
fn what_is_no_rule_is_refused_at_its_column_with_what_was_expected() {
    for (sentence, column, part) in [
        ("", 1, "expected what is measured"),
        ("colour > 5", 1, "there is no `colour`"),
        ("cpu", 5, "expected > or <"),
        ("cpu = 5", 5, "expected > or <, not `=`"),
        ("cpu >", 7, "expected a value"),
        ("cpu > much", 7, "expected a number"),
        ("cpu > -5", 7, "from zero up"),
        ("cpu > nan", 7, "from zero up"),
        ("cpu > 90% clear 95%", 17, "lies beyond"),
        ("count < 3 clear 1", 17, "lies beyond"),
        ("cpu > 90% for ever", 15, "not a duration"),
        ("cpu > 90% for 8d", 15, "7d"),
        ("cpu > 90% 5 of 3", 11, "more than all"),
        ("cpu > 90% 0 of 3", 11, "from 1 to 60"),
        ("cpu > 90% over planet", 16, "not one of host"),
        ("cpu > 90% over", 16, "expected one of"),
        ("cpu > 90% over host please", 21, "not `please`"),
        ("mem > 1G where", 15, "expected a filter"),
        ("mem > 1G where name >", 22, ""),
        ("memory > 90% where name:java", 1, "there are no processes to choose"),
        ("disk > 90% over host", 1, "over filesystem"),
        ("disk_full_in < 2d where name:java", 1, "there are no processes to choose"),
        ("disk_full_in < 181d", 16, "further ahead than 180d"),
        ("disk_full_in < 2d clear 400d", 25, "further ahead than 180d"),
        ("disk_full_in < 2", 16, "not a duration"),
        ("count > 1 over process", 1, "one process is always one"),
        ("silent 3 of 5", 15, "sends no samples"),
        ("gone", 6, "for how long"),
        ("gone 3 of 5", 13, "for how long"),
        ("gone for 5m over host", 18, "over unit or over program"),
        ("gone for 5m over unit where name:x", 23, "takes no `where`"),
        ("gone for 3d", 10, "forgotten"),
        ("gone over program for 72h", 23, "forgotten"),
        ("gone for 5m please", 13, "not `please`"),
        ("memory_full_in < 3d where name:x", 1, "none to choose"),
        ("memory_full_in < 3d over host", 1, "over process"),
        ("unusual > 20% over process", 1, "measured over host"),
        ("unusual > 20% where name:x", 1, "without `where`"),
        ("memory_full_in < 181d", 18, "further ahead than 180d"),
    ] {
        let refused = read(sentence).unwrap_err();
        assert!(refused.message.contains(part), "{sentence}: {refused}");
        assert_eq!(refused.column, column, "{sentence}: {refused}");
    }
    assert!(read(&"x".repeat(3_000)).is_err());
    let digits = "9".repeat(400);
    for measure in ["cpu", "memory", "load_1", "disk", "count", "network_sent_bytes/s"] {
        for sign in [">", "<"] {
            let refused = read(&format!("{measure} {sign} {digits}")).unwrap_err();
            assert_eq!(refused.column, measure.len() + 4, "{refused}");
        }
    }
    let largest = read(&format!("cpu < 17{}", "0".repeat(307))).unwrap();
    assert!(largest.threshold.clear.is_finite());
}

#[test]
fn every_word_that_is_offered_can_be_measured() {
    for word in Figure::words() {
        let value = if word == "age" { "5m" } else { "1" };
        read(&format!("{word} > {value} over process")).unwrap_or_else(|error| panic!("{word}: {error}"));
    }
    for word in HostMeasure::words() {
        let rule = read(&format!("{word} > 1")).unwrap_or_else(|error| panic!("{word}: {error}"));
        let Measure::Host(found) = rule.measure else { panic!("{word}") };
        assert_eq!(found.word(), word);
    }
}

proptest::proptest! {
    #[test]
    fn nothing_that_is_typed_is_a_panic(text in "(cpu|mem|count|disk|silent|over|where|for|of|[<>%0-9a-z:\" ().ü])* ?.{0,20}") {
        let _ = read(&text);
    }
}

#[test]
fn a_sentence_without_its_filter_still_says_what_is_measured() {
    for (sentence, without) in [
        ("count < 1 for 1m where cmd:--password=hunter2", "count < 1 for 1m where …"),
        ("ä > 1 WHERE cmd:x where y", "ä > 1 WHERE …"),
        ("mem>4G  over program   where java", "mem>4G  over program   where …"),
        ("cpu > 90%", "cpu > 90%"),
        ("", ""),
    ] {
        assert_eq!(without_filter(sentence), without);
    }
    let unit = |sentence: &str| read(sentence).unwrap().measure.unit();
    assert_eq!(unit("mem > 4G where cmd:x"), unit(&without_filter("mem > 4G where cmd:x")));
}

#[test]
fn figures_of_fleetps_itself_are_lengths_of_time_and_a_percentage() {
    let parts = |sentence: &str| {
        let rule = read(sentence).unwrap();
        (rule.measure, rule.over, rule.threshold.raise, rule.threshold.clear)
    };
    let behind = Measure::Own(OwnFigure::HistoryBehind);
    assert_eq!(parts("history_behind > 5m clear 3m for 2m"), (behind, Over::Host, 300.0, 180.0));
    assert_eq!(
        parts("certificate_ends_in < 9d"),
        (Measure::Own(OwnFigure::CertificateEndsIn), Over::Host, 777_600.0, 864_000.0)
    );
    assert_eq!(parts("history_disk > 95%").2, 95.0);
    for (sentence, column) in [
        ("history_behind > 5m over process", 1),
        ("history_disk > 95% where name:java", 1),
        ("history_disk > 100%", 16),
        ("cpu > 101%", 7),
        ("memory > 900%", 10),
        ("disk > 100% for 5m", 8),
        ("certificate_ends_in < 14", 23),
        ("certificate_ends_in < 400d", 23),
    ] {
        assert_eq!(read(sentence).unwrap_err().column, column, "{sentence}");
    }
}
