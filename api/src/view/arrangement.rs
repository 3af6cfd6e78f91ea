//! How the table of processes is arranged.

use crate::query::parameter::{Value, choice};

/// How the processes are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Arrangement {
    /// Children under their parents.
    #[default]
    Tree,
    /// One list.
    Flat,
    /// Added up by name.
    Program,
    /// Added up by user.
    User,
    /// Added up by systemd unit.
    Unit,
    /// Added up by container.
    Container,
}

impl Arrangement {
    /// All, in the order of the switch.
    pub(crate) const ALL: [Self; 6] =
        [Self::Tree, Self::Flat, Self::Program, Self::User, Self::Unit, Self::Container];

    /// Its name in the URL.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Flat => "flat",
            Self::Program => "program",
            Self::User => "user",
            Self::Unit => "unit",
            Self::Container => "container",
        }
    }

    /// Its name on the page.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Tree => "Tree",
            Self::Flat => "Flat",
            Self::Program => "Program",
            Self::User => "User",
            Self::Unit => "Unit",
            Self::Container => "Container",
        }
    }
}

impl Value for Arrangement {
    fn read(given: &str) -> Result<Self, String> {
        choice(Self::ALL, Self::id, given)
    }

    fn written(&self) -> String {
        self.id().to_owned()
    }
}
