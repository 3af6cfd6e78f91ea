//! The layer of the command line: a flag of its own for common settings, `--set` for all.

use std::{env, ffi::OsString, marker::PhantomData, path::PathBuf};

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches,
    builder::{NonEmptyStringValueParser, TypedValueParser, ValueParser},
};
use toml::Value;

use super::{
    declare::{Flag, Takes},
    error::SettingsError,
    layers::{Given, Layers},
    names::{self, Declared, Name},
    origin::Origin,
    program::Program,
    text, variables,
};

/// The flags of all settings of `P`, and `--config`. Flattened into the program's own arguments.
#[derive(Debug)]
pub struct Flags<P> {
    file: Option<PathBuf>,
    given: Vec<Assignment>,
    program: PhantomData<fn() -> P>,
}

/// A setting that a flag gives a value.
#[derive(Debug, Clone)]
struct Assignment {
    name: Name,
    value: Value,
    flag: String,
}

impl<P: Program> Flags<P> {
    /// The settings file that counts: the one that was named, else the program's own where there is one.
    pub fn file(&self) -> Option<PathBuf> {
        self.file.clone().or_else(P::default_file)
    }

    /// Takes `file` as settings file where none was named.
    pub fn or_file(&mut self, file: Option<PathBuf>) {
        self.file = self.file.take().or(file);
    }

    /// The settings of all layers. Logs what the operator should know about them.
    ///
    /// # Errors
    /// When the file cannot be read, or a name or value in any layer is wrong.
    pub fn layers(&self) -> Result<Layers, SettingsError> {
        let mut layers = self.layers_with(env::vars_os())?;
        for warning in layers.take_warnings() {
            tracing::warn!("{warning}");
        }
        Ok(layers)
    }

    /// The same with these environment variables.
    ///
    /// # Errors
    /// As [`Self::layers`].
    pub fn layers_with(
        &self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Layers, SettingsError> {
        let mut layers = Layers::of::<P>()?;
        if let Some(file) = self.file() {
            layers.read_file(&file)?;
        }
        layers.read_variables::<P>(variables)?;
        for Assignment { name, value, flag } in &self.given {
            let origin = Origin::Flag(flag.clone());
            layers.set(name.section, name.key, Given::Toml(value.clone()), origin)?;
        }
        Ok(layers)
    }
}

impl<P: Program> Args for Flags<P> {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("settings:file")
            .long("config")
            .value_name("FILE")
            .env("FLEETPS_CONFIG")
            .global(true)
            .value_parser(clap::value_parser!(PathBuf))
            .help(match P::default_file() {
                Some(file) => format!("The settings file (TOML) [default: {}]", file.display()),
                None => "The settings file (TOML)".to_owned(),
            });
        let set = Arg::new("settings:set")
            .long("set")
            .value_name("SECTION.KEY=VALUE")
            .action(ArgAction::Append)
            .global(true)
            .value_parser(ValueParser::new(assignment::<P>))
            .help("Any setting of the settings file; the command `config` prints them all");
        command.arg(file).args(flagged::<P>().map(|(flag, declared)| argument::<P>(flag, declared))).arg(set)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<P: Program> FromArgMatches for Flags<P> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let file = matches.get_one::<PathBuf>("settings:file").cloned();
        let mut given = Vec::new();
        for (flag, declared) in flagged::<P>() {
            let Some(value) = value(matches, flag, declared.setting.id) else { continue };
            // More than one room may listen to a flag.
            let listening = names::all(P::ROOMS)
                .filter(|declared| declared.setting.flag.is_some_and(|own| own.name == flag.name));
            given.extend(listening.map(|declared| Assignment {
                name: declared.name(),
                value: value.clone(),
                flag: format!("--{}", flag.name),
            }));
        }
        given.extend(matches.get_many::<Assignment>("settings:set").into_iter().flatten().cloned());
        Ok(Self { file, given, program: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Each flag once, with the first setting that has it.
fn flagged<P: Program>() -> impl Iterator<Item = (Flag, Declared)> {
    let mut seen = Vec::new();
    let with_flag = names::all(P::ROOMS).filter_map(|declared| Some((declared.setting.flag?, declared)));
    with_flag.filter(move |(flag, _)| {
        let is_new = !seen.contains(&flag.name);
        seen.push(flag.name);
        is_new
    })
}

fn argument<P: Program>(flag: Flag, declared: Declared) -> Arg {
    let argument = Arg::new(declared.setting.id)
        .long(flag.name)
        .global(!P::LOCAL_FLAGS.contains(&flag.name))
        .help(help::<P>(flag, declared));
    match flag.takes {
        Takes::Nothing(_) => argument.action(ArgAction::SetTrue),
        Takes::Value(value) => argument
            .value_name(value)
            .value_parser(NonEmptyStringValueParser::new().try_map(move |text| text::read(declared, &text))),
    }
}

/// The value that a flag gives; `None` where it was not used.
fn value(matches: &ArgMatches, flag: Flag, id: &str) -> Option<Value> {
    match flag.takes {
        Takes::Nothing(value) => matches.get_flag(id).then_some(Value::Boolean(value)),
        Takes::Value(_) => matches.get_one::<Value>(id).cloned(),
    }
}

/// The first paragraph of the declaration's comment (or the flag's own help), the default and the variable.
fn help<P: Program>(flag: Flag, declared: Declared) -> String {
    let lines = declared.setting.help.iter().map(|line| line.trim()).take_while(|line| !line.is_empty());
    let text = flag.help.map_or_else(|| lines.collect::<Vec<_>>().join(" "), str::to_owned);
    let default = match flag.takes {
        Takes::Nothing(_) => None,
        Takes::Value(_) => default::<P>(declared).filter(|default| !default.is_empty()),
    };
    let default = default.map_or_else(String::new, |default| format!(" [default: {default}]"));
    format!("{}{default} [env: {}]", text.trim_end_matches('.'), variables::of_flag(flag.name))
}

/// The default in words: the program's own, else the declaration's.
fn default<P: Program>(Declared { room, setting }: Declared) -> Option<String> {
    let own = P::DEFAULTS.iter().chain(P::COMPUTED_DEFAULTS);
    let mut own = own.filter(|(section, key, _)| (*section, *key) == (room.section, setting.key));
    own.next()
        .map(|(_, _, words)| (*words).to_owned())
        .or_else(|| (room.defaults)().get(setting.key).map(shown))
}

/// A value as one types it.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Reads `section.key=value`.
fn assignment<P: Program>(argument: &str) -> Result<Assignment, String> {
    let (path, value) = argument.split_once('=').ok_or("expected SECTION.KEY=VALUE")?;
    let (section, key) = path.trim().split_once('.').unwrap_or(("", path.trim()));
    let declared = names::find(P::ROOMS, section, key).ok_or_else(|| {
        let meant = names::meant(P::ROOMS, section, key);
        let meant = meant.map_or_else(String::new, |meant| format!(" (did you mean {meant}?)"));
        format!("there is no setting {path}{meant}")
    })?;
    let value = text::read(declared, value.trim())?;
    Ok(Assignment { name: declared.name(), value, flag: format!("--set {path}") })
}
