//! The parts of a declaration of settings, and the macro that makes it.

use serde::{Serialize, de::DeserializeOwned};
use toml::Table;

use crate::bounds::OutOfRange;

/// The settings of one part of fleetps: what [`settings!`](crate::settings!) makes of a declaration.
pub trait Room: Default + Serialize + DeserializeOwned {
    /// The section in a settings file; empty for keys that stand before all sections.
    const SECTION: &'static str;
    /// Earlier names of the section, accepted for one release with a warning.
    const OLD_SECTIONS: &'static [&'static str];
    /// The settings, in the order in which they are printed.
    const SETTINGS: &'static [Setting];

    /// Whether every value is within its range.
    ///
    /// # Errors
    /// Names the first setting that is not.
    fn check(&self) -> Result<(), OutOfRange>;
}

/// One declared setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The key in its section.
    pub key: &'static str,
    /// Section and key, with a dot between also where the section is empty: unlike any name of a command's argument.
    pub id: &'static str,
    /// Earlier names of the key, accepted for one release with a warning.
    pub old_keys: &'static [&'static str],
    /// Its help, one line of the declaration's comment each.
    pub help: &'static [&'static str],
    /// The flag of its own; `--set` reaches every setting.
    pub flag: Option<Flag>,
    /// The range as people read it, as in `1h to 400d`.
    pub range: Option<fn() -> String>,
}

/// The flag of a setting. Its variable has the same name: `--keep-hours` and `FLEETPS_KEEP_HOURS`.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    pub(super) name: &'static str,
    pub(super) takes: Takes,
    /// Its own help; the setting's comment where there is none.
    pub(super) help: Option<&'static str>,
}

/// The argument of a flag.
#[derive(Debug, Clone, Copy)]
pub(super) enum Takes {
    /// A value; this is what help calls it.
    Value(&'static str),
    /// Nothing: the flag sets this value.
    Nothing(bool),
}

impl Flag {
    /// `--name VALUE`.
    pub const fn takes(name: &'static str, value: &'static str) -> Self {
        Self { name, takes: Takes::Value(value), help: None }
    }

    /// `--name` sets `true`.
    pub const fn sets(name: &'static str) -> Self {
        Self { name, takes: Takes::Nothing(true), help: None }
    }

    /// `--name` sets `false`; `help` says what that means.
    pub const fn clears(name: &'static str, help: &'static str) -> Self {
        Self { name, takes: Takes::Nothing(false), help: Some(help) }
    }
}

/// A [`Room`] without its type, so that programs can list theirs.
#[derive(Debug, Clone, Copy)]
pub struct RoomInfo {
    pub(super) section: &'static str,
    pub(super) old_sections: &'static [&'static str],
    pub(super) settings: &'static [Setting],
    /// The values of its default; empty when one is a path that is not Unicode.
    pub(super) defaults: fn() -> Table,
    /// Whether a table can be read as this room, ranges aside.
    pub(super) accepts: fn(Table) -> Result<(), toml::de::Error>,
}

impl RoomInfo {
    /// The settings declared in `R`.
    pub const fn of<R: Room>() -> Self {
        Self {
            section: R::SECTION,
            old_sections: R::OLD_SECTIONS,
            settings: R::SETTINGS,
            defaults: || Table::try_from(R::default()).unwrap_or_default(),
            accepts: |table| table.try_into::<R>().map(drop),
        }
    }
}

/// The only element, where there is one: an optional part of a macro as a value.
pub const fn first<T: Copy>(of: &[T]) -> Option<T> {
    if of.is_empty() { None } else { Some(of[0]) }
}

/// Declares a room: the struct, its defaults, how it is read, and the list of its [`Setting`]s.
///
/// ```
/// use fleetps_nats::{bounds, settings::Flag};
///
/// fleetps_nats::settings! {
///     /// How tea is made.
///     pub struct TeaSettings in "tea" was "infusion" {
///         /// Cups at once.
///         #[flag(Flag::takes("cups", "NUMBER"))]
///         pub cups: usize = 2, in bounds::number(1..=8, "the pot holds eight");
///         /// Whether it is taken with milk.
///         #[was("cream")]
///         pub milk: bool = false;
///     }
/// }
/// assert_eq!(TeaSettings::default().cups, 2);
/// ```
///
/// The comment of a key becomes its help, and its comment in a settings file; `in` is its range. A type or format that
/// serde does not know is given with `#[serde(with = "…")]`. Fields after `derived` are no settings: the program computes
/// them. An empty section puts the keys before all sections.
#[macro_export]
macro_rules! settings {
    (
        $(#[$attribute:meta])*
        pub struct $room:ident in $section:literal $(was $($old_section:literal),+)? {
            $(
                $(#[doc = $help:literal])+
                $(#[serde($($serde:tt)*)])?
                $(#[flag($flag:expr)])?
                $(#[was($($old_key:literal),+)])?
                pub $key:ident: $type:ty = $default:expr $(, in $bounds:expr)?;
            )+
        }
        $(derived {
            $(
                $(#[doc = $derived_help:literal])+
                pub $derived:ident: $derived_type:ty = $derived_default:expr;
            )+
        })?
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $room {
            $( $(#[doc = $help])+ $(#[serde($($serde)*)])? pub $key: $type, )+
            $($( $(#[doc = $derived_help])+ #[serde(skip)] pub $derived: $derived_type, )+)?
        }

        impl Default for $room {
            fn default() -> Self {
                Self { $($key: $default,)+ $($($derived: $derived_default,)+)? }
            }
        }

        impl $crate::settings::Room for $room {
            const SECTION: &'static str = $section;
            const OLD_SECTIONS: &'static [&'static str] = &[$($($old_section),+)?];
            const SETTINGS: &'static [$crate::settings::Setting] = &[$($crate::settings::Setting {
                key: stringify!($key),
                id: concat!($section, ".", stringify!($key)),
                old_keys: &[$($($old_key),+)?],
                help: &[$($help),+],
                flag: $crate::settings::first(&[$($flag)?]),
                range: $crate::settings::first::<fn() -> String>(&[$(|| $bounds.to_string())?]),
            }),+];

            fn check(&self) -> Result<(), $crate::bounds::OutOfRange> {
                $($( $bounds.check(stringify!($key), &self.$key)?; )?)+
                Ok(())
            }
        }
    };
}
