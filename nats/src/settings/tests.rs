use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::Parser;

use super::*;
use crate::{
    TlsOptions, bounds,
    connection::{BrokerSettings, DEFAULT_BROKER},
    units,
};

crate::settings! {
    /// How tea is made.
    pub struct Tea in "tea" was "infusion" {
        /// How long it draws.
        /// Longer makes it bitter.
        ///
        /// This paragraph is for the file only.
        #[serde(with = "units::duration")]
        #[flag(Flag::takes("draw", "TIME"))]
        #[was("steep")]
        pub draw_time: Duration = Duration::from_secs(180), in bounds::duration(SECOND..=600 * SECOND, "it gets bitter");
        /// Cups at once.
        pub cups: usize = 2, in bounds::number(1..=8, "the pot holds eight");
        /// Guests by name.
        pub guests: Vec<String> = Vec::new(), in bounds::length(0..=8, "the table has eight chairs");
        /// Whether it is served.
        #[flag(Flag::clears("no-service", "Nobody is served"))]
        pub served: bool = true;
    }
    derived {
        /// Where it is made.
        pub kitchen: PathBuf = PathBuf::from("kitchen");
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Kettle;

impl Program for Kettle {
    const ROOMS: &'static [RoomInfo] =
        &[RoomInfo::of::<BrokerSettings>(), RoomInfo::of::<TlsOptions>(), RoomInfo::of::<Tea>()];
    const DEFAULTS: &'static [(&'static str, &'static str, &'static str)] = &[("", "nats", DEFAULT_BROKER)];
    const OTHER_VARIABLES: &'static [&'static str] = &["FLEETPS_TOKEN"];
}

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    flags: Flags<Kettle>,
}

/// The layers of a file with `text`, of `variables` and of `flags`; or why not.
fn layers(text: &str, variables: &[(&str, &str)], flags: &[&str]) -> Result<Layers, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kettle.toml");
    std::fs::write(&path, text).unwrap();
    let fixed = ["kettle", "--config", path.to_str().unwrap()];
    let cli = Cli::try_parse_from(fixed.iter().chain(flags)).map_err(|error| error.to_string())?;
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let layers = cli.flags.layers_with(variables).map_err(|error| crate::error_chain(&error))?;
    layers.room::<Tea>().map_err(|error| crate::error_chain(&error))?;
    Ok(layers)
}

fn tea(text: &str, variables: &[(&str, &str)], flags: &[&str]) -> Tea {
    layers(text, variables, flags).unwrap().room().unwrap()
}

fn refusal(text: &str, variables: &[(&str, &str)], flags: &[&str]) -> String {
    layers(text, variables, flags).expect_err(text)
}

#[test]
fn a_later_layer_wins_over_an_earlier_one() {
    let cups = |text, variables: &[_], flags: &[_]| tea(text, variables, flags).cups;
    let (file, variable) = ("[tea]\ncups = 3", [("FLEETPS_TEA__CUPS", "4")]);
    assert_eq!(cups("", &[], &[]), 2);
    assert_eq!(cups(file, &[], &[]), 3);
    assert_eq!(cups(file, &variable, &[]), 4);
    assert_eq!(cups(file, &variable, &["--set", "tea.cups=5"]), 5);
}

#[test]
fn a_setting_of_any_type_is_given_as_text() {
    assert_eq!(tea("", &[], &["--draw", "2m"]).draw_time, 120 * SECOND);
    assert_eq!(tea("", &[("FLEETPS_DRAW", "3s")], &[]).draw_time, 3 * SECOND);
    assert_eq!(
        tea("", &[("FLEETPS_DRAW", "3s"), ("FLEETPS_TEA__DRAW_TIME", "4s")], &[]).draw_time,
        4 * SECOND
    );
    assert_eq!(tea("", &[("FLEETPS_TEA__GUESTS", "ann, bob")], &[]).guests, ["ann", "bob"]);
    // As settings are printed.
    for (given, guests) in
        [(r#"["ann", "bob, too"]"#, &["ann", "bob, too"][..]), ("['ann']", &["ann"]), ("[]", &[])]
    {
        assert_eq!(tea("", &[("FLEETPS_TEA__GUESTS", given)], &[]).guests, guests, "{given}");
    }
    assert_eq!(tea("", &[], &["--set", "tea.guests="]).guests, [""; 0]);
    assert_eq!(
        tea("", &[("FLEETPS_TEA__GUESTS", "[::1]:80, [::2]:80")], &[]).guests,
        ["[::1]:80", "[::2]:80"]
    );
    assert!(refusal("", &[("FLEETPS_TEA__GUESTS", r#"["ann", "bob""#)], &[]).contains("guests"));
    assert!(!tea("", &[], &["--no-service"]).served);
    assert!(!tea("", &[("FLEETPS_NO_SERVICE", "true")], &[]).served);
    assert!(tea("[tea]\nserved = false", &[("FLEETPS_NO_SERVICE", "false")], &[]).served);
    assert!(!tea("", &[], &["--set", "tea.served=false"]).served);
    let nats =
        |flags: &[&str]| layers("", &[], flags).unwrap().room::<BrokerSettings>().unwrap().nats.unwrap();
    assert_eq!(nats(&[]), DEFAULT_BROKER);
    assert_eq!(nats(&["--nats", "tls://x"]), "tls://x");
}

#[test]
fn errors_name_origin_setting_value_and_expectation() {
    let variable = |name, value| refusal("", &[(name, value)], &[]);
    for (refusal, told) in [
        (refusal("nats = 3", &[], &[]), &["line 1", "kettle.toml", "nats", "3", "string"][..]),
        (refusal("[tea]\n\ncups = -1", &[], &[]), &["line 3", "tea.cups", "-1", "usize"]),
        (refusal("[tea]\ndraw_time = \"soon\"", &[], &[]), &["tea.draw_time", "soon", "10s"]),
        (refusal("[tea]\ncups = 9", &[], &[]), &["line 2", "[tea]", "cups is 9", "1 to 8", "the pot"]),
        (refusal("nats = ", &[], &[]), &["kettle.toml", "line 1"]),
        (variable("FLEETPS_DRAW", "soon"), &["FLEETPS_DRAW", "tea.draw_time", "soon", "10s"]),
        (variable("FLEETPS_TEA__CUPS", "9"), &["FLEETPS_TEA__CUPS", "cups is 9", "1 to 8"]),
        (variable("FLEETPS_NO_SERVICE", "maybe"), &["FLEETPS_NO_SERVICE", "maybe", "true or false"]),
        (refusal("", &[], &["--draw", "soon"]), &["--draw <TIME>", "soon", "10s"]),
        (refusal("", &[], &["--draw", "1ms"]), &["--draw", "draw_time is 1ms", "1s to 10m"]),
        (refusal("", &[], &["--draw", ""]), &["--draw"]),
        (refusal("", &[], &["--set", "tea.cups=many"]), &["--set", "tea.cups=many", "usize"]),
    ] {
        assert!(told.iter().all(|part| refusal.contains(part)), "{told:?}: {refusal}");
    }
}

#[test]
fn an_unknown_name_is_refused_with_the_one_that_is_meant() {
    for (text, meant) in [
        ("[tea]\ncup = 1", "did you mean cups?"),
        ("[teas]\ncups = 1", "did you mean tea?"),
        ("nat = \"x\"", "did you mean nats?"),
        ("cups = 1", "did you mean tea.cups?"),
    ] {
        let refusal = refusal(text, &[], &[]);
        assert!(refusal.contains("there is no setting") && refusal.contains(meant), "{text}: {refusal}");
    }
    assert!(!refusal("colour = 1", &[], &[]).contains("did you mean"));
    assert!(!refusal("[cellar]\nbottles = 1", &[], &[]).contains("did you mean"));
    assert!(refusal("tea = 3", &[], &[]).contains("tea"));
    assert!(refusal("", &[], &["--set", "tea.cup=1"]).contains("did you mean cups?"));
}

#[test]
fn old_names_are_accepted_with_a_warning_that_says_the_new_one() {
    let warned = |text: &str| layers(text, &[], &[]).unwrap().take_warnings().join("\n");
    assert_eq!(tea("[infusion]\ncups = 3\nsteep = \"9s\"", &[], &[]).cups, 3);
    assert_eq!(tea("[tea]\nsteep = \"9s\"", &[], &[]).draw_time, 9 * SECOND);
    let section = warned("[infusion]\ncups = 3\nguests = []");
    assert!(section.contains("kettle.toml: the section [infusion] is now [tea]"), "{section}");
    assert_eq!(section.lines().count(), 1, "{section}");
    let key = warned("[tea]\nsteep = \"9s\"");
    assert!(key.contains("line 2") && key.contains("the key steep is now tea.draw_time"), "{key}");
    assert_eq!(warned("[tea]\ncups = 3"), "");
    assert_eq!(tea("[tea]\ncups = 3\n[infusion]\ncups = 4", &[], &[]).cups, 3);
}

#[test]
fn a_variable_that_nobody_reads_is_told_with_the_one_that_is_meant() {
    let warned = |name: &str| layers("", &[(name, "1")], &[]).unwrap().take_warnings().join("\n");
    assert!(warned("FLEETPS_NATSS").contains("did you mean FLEETPS_NATS?"), "{}", warned("FLEETPS_NATSS"));
    assert!(warned("FLEETPS_LOGS").contains("did you mean FLEETPS_LOG?"));
    assert!(warned("FLEETPS_QUITE_ANOTHER").contains("FLEETPS_QUITE_ANOTHER"));
    for known in ["FLEETPS_TOKEN", "FLEETPS_LOG", "FLEETPS_TEST_SEED", "FLEETPS_NKEY", "OTHER"] {
        assert_eq!(warned(known), "", "{known}");
    }
    assert_eq!(tea("", &[("FLEETPS_DRAW", "")], &[]).draw_time, 180 * SECOND);
}

#[test]
fn what_is_printed_has_comments_and_is_read_again() {
    let made = Tea { guests: vec!["ann".to_owned()], served: false, ..Tea::default() };
    let rooms = [Printed::of(&made).unwrap(), Printed::of(&BrokerSettings::default()).unwrap()];
    let text = Printed::settings_file("the kettle", &rooms);
    assert_eq!(tea(&text, &[], &[]), made);
    for part in [
        "# Settings of the kettle. ",
        "section.key=value.\n\n# Address of the broker",
        "# Flag: --nats.\n# nats = (not set)\n",
        "\n[tea]\n\n# How long it draws.\n# Longer makes it bitter.\n",
        "# Range: 1s to 10m. Flag: --draw.\ndraw_time = \"3m\"\n",
        "guests = [\"ann\"]",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn help_has_comment_default_and_variable_of_each_flag() {
    let help = <Cli as clap::CommandFactory>::command().term_width(0).render_help().to_string();
    let line = |flag: &str| help.lines().find(|line| line.contains(flag)).unwrap_or_default();
    let draw = line("--draw <TIME>");
    assert!(
        draw.ends_with("How long it draws. Longer makes it bitter [default: 3m] [env: FLEETPS_DRAW]"),
        "{draw}"
    );
    assert!(line("--nats <URL>").contains("[default: nats://127.0.0.1:4222]"), "{help}");
    assert!(line("--no-service").ends_with("Nobody is served [env: FLEETPS_NO_SERVICE]"), "{help}");
}
