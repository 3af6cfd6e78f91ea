//! The language by examples, and that both of its meanings agree.

use std::time::Duration;

use duckdb::{Connection, params_from_iter, types::Value};
use proptest::prelude::*;

use fleetps_nats::model::process::PROCESS;

use super::*;

/// A process with what a filter can ask besides.
#[derive(Debug, Clone, Default)]
struct Row {
    host: String,
    process: Process,
    rates: ProcessRates,
    memory_percent: Option<f64>,
    age_s: f64,
}

impl Row {
    fn fields(&self) -> Fields<'_> {
        let Self { host, process, rates, memory_percent, age_s } = self;
        Fields { host, process, rates: *rates, memory_percent: *memory_percent, age_s: *age_s }
    }

    /// In the order of [`columns`].
    fn values(&self) -> Vec<Value> {
        let number = |value: Option<f64>| value.map_or(Value::Null, Value::Double);
        let value = |field: Field| match field.of(&self.fields()) {
            field::Value::Text(text) => text.map_or(Value::Null, |text| Value::Text(text.to_owned())),
            field::Value::Letter(letter) => {
                letter.map_or(Value::Null, |letter| Value::Text(letter.to_string()))
            }
            field::Value::Number(value) => number(value),
        };
        Field::all().map(value).collect()
    }
}

fn definitions() -> String {
    let sql_type = |field: &Field| if field.kind == field::Kind::Text { "VARCHAR" } else { "DOUBLE" };
    Field::all().map(|field| format!("{} {}", field.column, sql_type(&field))).collect::<Vec<_>>().join(", ")
}

fn java() -> Row {
    let process = Process {
        name: "java".to_owned(),
        command_line: Some("/usr/bin/java -Xmx2g -jar Shop.jar".to_owned()),
        user_name: Some("shop".to_owned()),
        pid: 4242,
        parent_pid: Some(1),
        cpu_percent: Some(73.5),
        resident_bytes: Some(3 << 30),
        threads: Some(88),
        state: 'S',
        unit: Some("shop.service".to_owned()),
        ..Process::default()
    };
    Row { host: "web-01".to_owned(), process, memory_percent: Some(37.5), age_s: 7200.0, ..Row::default() }
}

#[test]
fn examples() {
    for (filter, matches) in [
        ("", true),
        ("   ", true),
        ("java", true),
        ("JAVA shop.jar", true),
        ("java and nginx", false),
        ("nginx or java", true),
        ("java nginx or shop", true),
        ("not nginx", true),
        ("not not java", true),
        ("java and mem > 2G", true),
        ("mem>2G and mem<=3G", true),
        ("mem% >= 37.5%", true),
        ("cpu > 50 and age > 1h", true),
        ("age < 5m and cpu > 50", false),
        ("age = 2h", true),
        ("user = shop and not name ~ ^kworker", true),
        ("user = Shop", false),
        ("user != root", true),
        ("container != abc", true),
        ("container = \"\"", false),
        ("read > 0", false),
        ("not read > 0", true),
        ("state = S and threads > 80 and pid = 4242 and parent = 1", true),
        ("cmd ~ \"-Xmx[0-9]+g\"", true),
        ("cmd ~ -Xmx\\dg", true),
        ("cmd ~ -Xmx(1|2)g", true),
        ("(name ~ ^j(a|v) or nginx) and unit = shop.service", true),
        ("\"-jar Shop\"", true),
        ("\"and\"", false),
        ("host = web-01 and (nginx or (java and not cpu < 1))", true),
        ("-Xmx2g", true),
        ("-Xmx=2g", false),
        ("cmd:-Xmx2g and user:sho", true),
        ("cmd:\"-jar Shop\" or name:x", true),
        ("cmd:-Xmx.g", false),
        ("pid:4242 not pid:42", true),
        ("unit:nginx", false),
        ("http://web-01", false),
    ] {
        let parsed = Filter::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
        assert_eq!(parsed.matching([java().fields()], &patient()), Ok(vec![matches]), "{filter}");
    }
}

#[test]
fn an_error_points_at_the_column_and_says_what_was_expected() {
    for (filter, column, expected) in [
        ("cpu >", 6, "a value"),
        ("cpu > much", 7, "a number"),
        ("java and", 9, "a word or a comparison"),
        ("java and mem > 2X", 16, "as in 500M"),
        ("colour = red", 1, "no field `colour`"),
        ("name > 5", 6, "=, != or ~"),
        ("cpu ~ 5", 5, "=, !=, >"),
        ("(java", 1, "no ) for this ("),
        ("java)", 5, "no ( for this )"),
        ("or java", 1, "before `or`"),
        ("\"java", 1, "second quote"),
        ("name ~ (", 8, "no regular expression"),
        ("pid == 4", 5, "=, !=, >"),
        ("age < soon", 7, "a length of time"),
    ] {
        let error = Filter::parse(filter).unwrap_err();
        assert_eq!(error.column, column, "{filter}: {error}");
        assert!(error.message.contains(expected), "{filter}: {error}");
    }
}

#[test]
fn no_text_is_too_much() {
    for text in ["(".repeat(1000), "not ".repeat(250), "(".repeat(2000), "a ".repeat(500), "\"".repeat(999)] {
        let _ = Filter::parse(&text);
    }
    assert!(Filter::parse(&"(".repeat(400)).unwrap_err().message.contains("nested"));
}

fn words() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "java",
        "nginx",
        "JAVA",
        "kworker/0:1",
        "a b",
        "é",
        "ß",
        "İ",
        "x=y",
        "",
        "\n",
        "ΑΣ",
    ]);
    prop_oneof![4 => known.prop_map(str::to_owned), 1 => "[a-zA-Z0-9_.\\-'\"% ]{0,6}", 1 => "\\PC{0,4}"]
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn pattern() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "^ja",
        "a$",
        r"\d",
        r"\w+",
        r"\s",
        r"[\w/]+:\d",
        "(?i)JAVA",
        "j.v",
        "(a|n)g?",
        "^$",
        "[^a-z]",
        "a{1,2}",
        r"\S\W",
        "é",
        ".",
        "x*",
        r"\D",
        "(?s).",
        "(?i)[ß-é]",
    ])
    .prop_map(str::to_owned)
}

fn filter() -> impl Strategy<Value = String> {
    let text_fields = prop::sample::select(vec!["host", "name", "cmd", "user", "unit", "container", "state"]);
    let number_fields = prop::sample::select(vec![
        "pid", "parent", "cpu", "mem", "mem%", "read", "written", "threads", "age",
    ]);
    let order = prop::sample::select(vec!["=", "!=", ">", ">=", "<", "<="]);
    let leaf = prop_oneof![
        words().prop_map(|word| quoted(&word)),
        (text_fields.clone(), prop::sample::select(vec!["=", "!="]), words())
            .prop_map(|(field, sign, word)| format!("{field} {sign} {}", quoted(&word))),
        (text_fields, pattern()).prop_map(|(field, pattern)| format!("{field} ~ {}", quoted(&pattern))),
        (number_fields, order, 0_u32..6).prop_map(|(field, sign, number)| format!("{field}{sign}{number}")),
    ];
    leaf.prop_recursive(4, 20, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|part| format!("not {part}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("{a} {b}")),
        ]
    })
}

fn row() -> impl Strategy<Value = Row> {
    let text = || prop::option::weighted(0.8, words());
    let number = || prop::option::weighted(0.8, (0_u32..6).prop_map(f64::from));
    let count = || prop::option::weighted(0.8, 0_u32..6);
    let texts = (words(), words(), text(), text(), text(), text());
    let rates = prop::collection::vec(number(), PROCESS.len());
    let numbers = (number(), count(), number(), rates);
    let state = prop::sample::select(vec!['S', 'R', 'a', 'é']);
    (texts, numbers, (count(), count(), 0_u32..6, 0_u32..6), state).prop_map(
        |(texts, numbers, counts, state)| Row {
            host: texts.0,
            process: Process {
                name: texts.1,
                command_line: texts.2,
                user_name: texts.3,
                unit: texts.4,
                container: texts.5,
                cpu_percent: numbers.0.map(|number| number as f32),
                resident_bytes: numbers.1.map(u64::from),
                parent_pid: counts.0,
                threads: counts.1,
                pid: counts.2,
                state,
                ..Process::default()
            },
            memory_percent: numbers.2,
            rates: ProcessRates::of(|place| numbers.3[place]),
            age_s: f64::from(counts.3),
        },
    )
}

thread_local! {
    /// One for all cases: opening takes longer than asking.
    static DATABASE: (Connection, AskedPatterns) = {
        let database = Connection::open_in_memory().unwrap();
        let patterns = AskedPatterns::of(&database).unwrap();
        (database, patterns)
    };
}

/// Longer than any test takes.
fn patient() -> Deadline {
    Deadline::after(Duration::from_secs(600))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn both_meanings_let_the_same_rows_through(filter in filter(), rows in prop::collection::vec(row(), 1..12)) {
        let filter = Filter::parse(&filter).unwrap();
        let (database, patterns) = DATABASE.with(|(database, patterns)| (database.try_clone().unwrap(), patterns.clone()));
        database.execute_batch(&format!("CREATE OR REPLACE TABLE process (number UINTEGER, {})", definitions())).unwrap();
        for (number, row) in rows.iter().enumerate() {
            let places = vec!["?"; 1 + columns().count()].join(", ");
            let values = std::iter::once(Value::UInt(number as u32)).chain(row.values());
            database.execute(&format!("INSERT INTO process VALUES ({places})"), params_from_iter(values)).unwrap();
        }
        let condition = filter.sql();
        let in_sql: Vec<u32> = condition.ask(&patterns, &patient(), |condition_text| {
            let sql = format!("SELECT number FROM process WHERE {condition_text} ORDER BY number");
            let mut statement = database.prepare(&sql).unwrap();
            let found = statement.query_map(params_from_iter(&condition.values), |row| row.get::<_, u32>(0)).unwrap();
            found.map(Result::unwrap).collect()
        });
        let matching = filter.matching(rows.iter().map(Row::fields), &patient()).unwrap();
        let in_memory: Vec<u32> = (0..).zip(matching).filter(|(_, matches)| *matches).map(|(number, _)| number).collect();
        prop_assert_eq!(in_sql, in_memory);
    }

    #[test]
    fn any_text_is_a_filter_or_an_error_inside_it(text in "(\\PC|[()\"=<>~! ]|and|or|not|cpu|name){0,30}") {
        if let Err(error) = Filter::parse(&text) {
            prop_assert!(error.column >= 1 && error.column <= text.chars().count() + 1);
        }
    }
}

#[test]
fn a_filter_ends_at_its_deadline_and_when_nobody_waits_in_memory_and_in_sql_alike() {
    let filter = Filter::parse("cmd ~ x").unwrap();
    let (database, patterns) =
        DATABASE.with(|(database, patterns)| (database.try_clone().unwrap(), patterns.clone()));
    let in_sql = |deadline: &Deadline| {
        filter.sql().ask(&patterns, deadline, |condition| {
            let sql = format!(
                "SELECT count(*) FROM (SELECT 'x' || range AS command_line FROM range(9)) WHERE {condition}"
            );
            database.query_row(&sql, [], |row| row.get::<_, u32>(0)).map_err(|error| error.to_string())
        })
    };
    let row = java();
    let one = || [row.fields()];
    assert_eq!(in_sql(&patient()), Ok(9));
    let over = Deadline::after(Duration::ZERO);
    assert_eq!(filter.matching(one(), &over), Err(Stopped::TookTooLong));
    assert!(in_sql(&over).unwrap_err().contains("took too long"));
    let left = patient();
    drop(left.cancel_on_drop());
    assert_eq!(filter.matching(one(), &left), Err(Stopped::Cancelled));
    assert!(in_sql(&left).unwrap_err().contains("was cancelled"));
}

#[test]
fn a_filter_has_a_bounded_number_of_patterns() {
    let filter = |count| vec!["cmd ~ a"; count].join(" or ");
    assert!(Filter::parse(&filter(10)).is_ok());
    assert!(Filter::parse(&filter(11)).unwrap_err().message.contains("at most 10 regular expressions"));
}

#[test]
fn a_filter_tells_whether_it_asks_for_command_lines() {
    for (text, asks) in [
        ("", false),
        ("name:java and mem > 2G", false),
        ("cmd:java", true),
        ("name = a or not (user = root and CMD ~ x)", true),
        ("java", true),
        ("cpu > 1 \"java\"", true),
        ("not (name = a)", false),
    ] {
        assert_eq!(Filter::parse(text).unwrap().asks_for_command_lines(), asks, "{text}");
    }
}

#[test]
fn a_filter_tells_whether_it_asks_for_rates() {
    for (text, asks) in [
        ("", false),
        ("java and mem > 2G", false),
        ("read > 1M", true),
        ("java or not (user = root and written >= 0)", true),
        ("age < 5m and cpu > 50", false),
    ] {
        assert_eq!(Filter::parse(text).unwrap().asks_for_rates(), asks, "{text}");
    }
}
