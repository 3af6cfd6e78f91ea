//! The columns of a process table: what the model declares of them, as pages need it.

use fleetps_nats::model::{
    Field, FieldRole, Kind, Unit,
    process::PROCESS,
    table::{TABLE, TableColumn},
};

/// A column of a process table: its place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Column(usize);

/// What headings are short for, as tooltips, by the columns' classes.
pub(crate) const TITLES: &[(&str, &str)] = &[
    ("cpu", "CPU use in percent of one core, as in top"),
    ("memory", "Resident memory; k, M, G are KiB, MiB, GiB"),
    ("read", "Bytes read from disk per second"),
    ("written", "Bytes written to disk per second"),
    ("threads", "Threads"),
    ("state", "State: R running, S sleeping, D waiting for disk, I idle, T stopped, Z zombie"),
    ("age", "Time since it started"),
];

// Columns that pages treat apart from others. They are named like the variants that they stand for.
#[allow(non_upper_case_globals, missing_docs)]
impl Column {
    pub(crate) const Name: Self = Self::with_id("name");
    pub(crate) const Pid: Self = Self::with_id("pid");
    pub(crate) const User: Self = Self::with_id("user");
    pub(crate) const Cpu: Self = Self::with_id("cpu");
    pub(crate) const Memory: Self = Self::with_id("memory");
    pub(crate) const SentMemory: Self = Self::with_id("sentmemory");
    pub(crate) const Read: Self = Self::with_id("read");
    pub(crate) const Written: Self = Self::with_id("written");
    pub(crate) const Threads: Self = Self::with_id("threads");
    pub(crate) const Age: Self = Self::with_id("age");
    pub(crate) const CpuTime: Self = Self::with_id("cputime");
    pub(crate) const Unit: Self = Self::with_id("unit");
    pub(crate) const Container: Self = Self::with_id("container");
    pub(crate) const Pod: Self = Self::with_id("pod");
    pub(crate) const Deleted: Self = Self::with_id("deleted");
    pub(crate) const Executable: Self = Self::with_id("executable");
    pub(crate) const Command: Self = Self::with_id("command");
}

const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

impl Column {
    /// How many there are.
    pub(crate) const COUNT: usize = TABLE.len();

    /// All, in the order of the table.
    pub(crate) const ALL: [Self; TABLE.len()] = {
        let mut all = [Self(0); TABLE.len()];
        let mut place = 0;
        while place < TABLE.len() {
            all[place] = Self(place);
            place += 1;
        }
        all
    };

    /// Fails to compile where there is none.
    const fn with_id(id: &str) -> Self {
        let mut place = 0;
        while place < TABLE.len() {
            if is_same(TABLE[place].page.id, id) {
                return Self(place);
            }
            place += 1;
        }
        panic!("no column has this id")
    }

    /// Its place in the table.
    pub(crate) fn place(self) -> usize {
        self.0
    }

    /// Its declaration in the model.
    pub(crate) fn declared(self) -> &'static TableColumn {
        const FIRST: &TableColumn = &TABLE[0];
        TABLE.get(self.0).unwrap_or(FIRST)
    }

    /// The field of the model that it shows.
    pub(crate) fn of(self) -> &'static Field {
        const FIRST: &Field = &PROCESS[0];
        PROCESS.get(self.declared().place).unwrap_or(FIRST)
    }

    /// Its name in a page's URL, and its class.
    pub(crate) fn id(self) -> &'static str {
        self.declared().page.id
    }

    /// Its name in JSON.
    pub(crate) fn field(self) -> &'static str {
        let field = self.of();
        match field.rate.filter(|_| self.declared().is_rate) {
            Some(rate) => rate.name,
            None => field.column,
        }
    }

    /// Its heading.
    pub(crate) fn head(self) -> &'static str {
        self.declared().page.head
    }

    /// Its unit.
    pub(crate) fn unit(self) -> &'static str {
        match (self.of().unit, self.declared().is_rate) {
            (Unit::Percent, _) => "%",
            (Unit::Bytes, false) => "B",
            (Unit::Bytes, true) => "B/s",
            (_, true) => "/s",
            _ => "",
        }
    }

    /// Its full name.
    pub(crate) fn label(self) -> &'static str {
        self.declared().page.label
    }

    /// Whether it is shown unless asked otherwise.
    pub(crate) fn is_default(self) -> bool {
        self.declared().page.is_default
    }

    /// Whether sorting by it starts with the greatest: by figures and by age.
    pub(crate) fn descending_by_default(self) -> bool {
        let field = self.of();
        (field.role == FieldRole::Figure && field.is_number()) || field.kind == Kind::Time
    }

    /// Whether sorting uses the sum of a parent's whole subtree.
    pub(crate) fn adds_up(self) -> bool {
        self.declared().page.adds_up
    }

    /// The column with this name in URLs or in JSON.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.id() == name || column.field() == name)
    }
}
