//! Tests of scrubbing; the corpus is `corpus.txt`.

use proptest::prelude::*;

use super::*;

/// One case a line: arguments separated by `|`, ` -> `, what is sent. `\n` in an argument is a line break.
const CORPUS: &str = include_str!("corpus.txt");

/// What is sent of a short command line.
fn sent<Argument: AsRef<str>>(arguments: &[Argument]) -> String {
    let parts = command_line(CommandLineMode::Scrubbed, arguments).unwrap();
    assert!(parts.iter().all(|part| part.left_out == 0));
    parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join(" ")
}

fn cases() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = CORPUS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(" -> ").expect("every case has an arrow"))
}

#[test]
fn the_corpus_holds() {
    let mut wrong = Vec::new();
    for (given, expected) in cases() {
        let arguments: Vec<String> = given.split('|').map(|argument| argument.replace("\\n", "\n")).collect();
        let scrubbed = sent(&arguments);
        if scrubbed != expected.replace("\\n", "\n") {
            wrong.push(format!("{given}\n  expected {expected}\n  got      {scrubbed}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases().count(), wrong.join("\n"));
}

#[test]
fn the_corpus_is_large_and_has_both_kinds() {
    let (secret, harmless): (Vec<_>, Vec<_>) = cases().partition(|(_, expected)| expected.contains(HIDDEN));
    assert!(secret.len() >= 200 && harmless.len() >= 100, "{} and {}", secret.len(), harmless.len());
}

#[test]
fn off_sends_nothing_and_full_sends_everything() {
    let arguments = ["mysql", "-psecret"];
    assert_eq!(command_line(CommandLineMode::Off, &arguments), None);
    let full = command_line(CommandLineMode::Full, &arguments).unwrap();
    assert_eq!(full.iter().map(|part| part.text.as_str()).collect::<Vec<_>>(), arguments);
    assert_eq!(command_line(CommandLineMode::Scrubbed, &["", ""]), None);
    assert_eq!(command_line::<&str>(CommandLineMode::Full, &[]), None);
}

proptest! {
    #[test]
    fn no_arguments_make_it_panic(arguments in prop::collection::vec("[ -~äß\u{0}-\u{1f}=:@/'\"-]{0,40}", 0..8)) {
        let _ = command_line(CommandLineMode::Scrubbed, &arguments);
    }

    #[test]
    fn the_value_of_a_password_flag_never_gets_through(value in "[A-Za-z0-9 ;&,'\"=:@/]{6,30}") {
        prop_assert_eq!(sent(&["app", "--password", &value]), "app --password ***");
    }
}

/// Everything that is sent of a command line of any length.
fn sent_of_any(arguments: &[String]) -> String {
    let parts = command_line(CommandLineMode::Scrubbed, arguments).unwrap_or_default();
    crate::sample::line_of(&parts)
}

/// The parts of a text that nobody may see: 6 letters in a row that only the secret has.
fn leaked<'a>(text: &str, secret: &'a str) -> Option<&'a str> {
    (0..=secret.len() - 6).map(|start| &secret[start..start + 6]).find(|part| text.contains(part))
}

#[test]
fn the_end_of_a_command_line_of_megabytes_is_sent_and_its_middle_counted() {
    let mut arguments = vec!["java".to_owned(), "-cp".to_owned(), "/opt/a.jar:".repeat(200_000)];
    arguments.extend(["com.example.Main", "--token", "hunter2", "--port", "8080"].map(str::to_owned));
    let text = sent_of_any(&arguments);
    assert_eq!(text, "java -cp /opt/a.jar:…[2,199,989 bytes]… com.example.Main --token *** --port 8080");
    // Its name stays, and what follows an argument that is not looked at is known.
    let arguments = |filler: &str| {
        let many = std::iter::repeat_n(filler.to_owned(), 10_000);
        let head = ["app".to_owned(), format!("--data={}", "x".repeat(90_000))];
        let tail = ["--password", "hunter2 and more", "end"].map(str::to_owned);
        head.into_iter().chain(many).chain(tail).collect::<Vec<_>>()
    };
    for filler in ["word", "--password", "", "x y", "-p"] {
        let text = sent_of_any(&arguments(filler));
        assert!(text.starts_with("app --data=…[") && text.ends_with(" end"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn the_first_argument_that_is_looked_at_again_is_known_by_the_one_before() {
    let head = ["app".to_owned(), "x".repeat(20_000), "y".repeat(20_000)];
    let mut seen = 0;
    for shift in 0..40 {
        // What tells that it is one is looked at with it, or is the last that is not.
        let tail = ["--password", "SECRETSECRET", &"z".repeat(16_384 - shift)].map(str::to_owned);
        let text = sent_of_any(&head.iter().cloned().chain(tail).collect::<Vec<_>>());
        assert_eq!(leaked(&text, "SECRETSECRET"), None, "{shift}: {text}");
        seen += usize::from(text.contains(&format!(" {HIDDEN} ")));
    }
    assert!((20..40).contains(&seen), "{seen}");
}

#[test]
fn an_argument_without_end_costs_little_and_ends_nothing() {
    for argument in [":", "=", "a:", "://", "-----BEGIN PRIVATE KEY-----", "eyJ", "\"", "--password=", "x@"] {
        sent_of_any(&["app".to_owned(), argument.repeat(16_000 / argument.len())]);
        sent_of_any(&[argument.repeat(200_000), argument.repeat(3_000), "end".to_owned()]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_character_of_a_secret_ends_it_where_it_is_an_argument_or_a_value_of_its_own(
        secret in "[A-Z]{3}[A-Z ;&,=(){}!$:]{6,30}[A-Z]",
    ) {
        let is_in_url = !secret.contains(' ');
        let is_in_connection = !secret.contains(';');
        let mut lines = vec![
            format!("app|--password={secret}"),
            format!("app|--password|{secret}"),
            format!("app|-Dx.y.token={secret}"),
            format!("app.exe|/password:{secret}"),
            format!("app.exe|/password|{secret}"),
            format!("mysql|-p{secret}"),
            format!("CURL.exe|-u|mira:{secret}"),
            format!("curl|--user=mira:{secret}"),
            format!("smbclient|-U|mira%{secret}|//srv/share"),
            format!("sshpass|-p|{secret}|ssh|db"),
            format!("net|user|mira|{secret}|/add"),
            format!("net|use|Z:|\\\\srv\\share|{secret}"),
            format!("rasdial|office|mira|{secret}"),
            format!("htpasswd|-bn|mira|{secret}"),
            format!("openssl|rsa|-passin|pass:{secret}"),
            format!("sc|config|app|password=|{secret}"),
            format!("powershell|-c|ConvertTo-SecureString '{secret}' -AsPlainText"),
            format!("app|{{\"password\":\"{secret}\"}}"),
        ];
        if is_in_url {
            lines.push(format!("app|postgres://mira:{secret}@db/shop"));
        }
        if is_in_connection {
            lines.push(format!("app|Server=db;Password={secret};Encrypt=true"));
        }
        for line in lines {
            let text = sent(&line.split('|').collect::<Vec<_>>());
            prop_assert_eq!(leaked(&text, &secret), None, "{}: {}", line, text);
        }
    }

    #[test]
    fn a_secret_is_never_seen_wherever_a_command_line_is_cut(
        before in prop::sample::select(vec![0_usize, 3_900, 4_060, 4_096, 15_000, 16_300, 16_380, 16_390, 50_000]),
        after in prop::sample::select(vec![0_usize, 3_900, 4_060, 15_000, 16_300, 16_380, 16_390, 50_000]),
        shift in 0_usize..60,
        word in prop::sample::select(vec![5_usize, 40, 700, 100_000]),
        is_one in any::<bool>(),
        kind in 0_usize..8,
        length in prop::sample::select(vec![24_usize, 40, 300, 5_000, 20_000]),
    ) {
        let secret: String = (0..length).map(|place| char::from(b'A' + (place * place % 23) as u8)).collect();
        let fill = |bytes: usize| -> Vec<String> {
            let count = bytes / (word + 1);
            let mut fill = vec!["w".repeat(word); count];
            fill.push("v".repeat(bytes - count * (word + 1)));
            fill
        };
        let told: Vec<String> = match kind {
            0 => vec!["--password".to_owned(), secret.clone()],
            1 => vec![format!("--password={secret}")],
            2 => vec![format!("postgres://mira:{secret}@db/shop")],
            3 => vec![format!("ghp_{secret}")],
            4 => vec!["-H".to_owned(), format!("Authorization: Bearer {secret}")],
            5 => vec![format!("eyJhbGciOiJIUzI1NiJ9.{secret}.{secret}")],
            6 => vec![format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----")],
            _ => vec![format!("-p{secret}")],
        };
        let mut arguments = vec!["mysql".to_owned()];
        arguments.extend(fill(before + shift));
        arguments.extend(told);
        arguments.extend(fill(after));
        if is_one {
            arguments = vec!["sh".to_owned(), "-c".to_owned(), arguments.join(" ")];
        }
        let text = sent_of_any(&arguments);
        prop_assert!(text.len() <= 4096);
        prop_assert_eq!(leaked(&text, &secret), None);
    }
}
