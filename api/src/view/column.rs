//! The columns of a process table: what they are called, in pages and in JSON, and how they sort.

/// A column of a process table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// Name.
    Name,
    /// Process id.
    Pid,
    /// Parent's process id.
    Parent,
    /// User.
    User,
    /// CPU use in percent of one core.
    Cpu,
    /// Resident memory.
    Memory,
    /// Virtual size.
    Virtual,
    /// Bytes read per second.
    Read,
    /// Bytes written per second.
    Written,
    /// Threads.
    Threads,
    /// State.
    State,
    /// Time since it started.
    Age,
    /// CPU time since it started.
    CpuTime,
    /// systemd unit.
    Unit,
    /// Container.
    Container,
    /// Executable.
    Executable,
    /// Command line.
    Command,
}

/// What is to be known of a column.
struct Known {
    id: &'static str,
    field: &'static str,
    head: &'static str,
    unit: &'static str,
    label: &'static str,
    usual: bool,
    greatest_first: bool,
}

const fn known(
    (id, field): (&'static str, &'static str),
    (head, unit, label): (&'static str, &'static str, &'static str),
    usual: bool,
    greatest_first: bool,
) -> Known {
    Known { id, field, head, unit, label, usual, greatest_first }
}

impl Column {
    /// All, in the order of the table.
    pub const ALL: [Self; 17] = [
        Self::Name,
        Self::Pid,
        Self::Parent,
        Self::User,
        Self::Cpu,
        Self::Memory,
        Self::Virtual,
        Self::Read,
        Self::Written,
        Self::Threads,
        Self::State,
        Self::Age,
        Self::CpuTime,
        Self::Unit,
        Self::Container,
        Self::Executable,
        Self::Command,
    ];

    fn known(self) -> Known {
        match self {
            Self::Name => known(("name", "name"), ("Process", "", "Process"), true, false),
            Self::Pid => known(("pid", "pid"), ("PID", "", "PID"), true, false),
            Self::Parent => known(("parent", "parent_pid"), ("Parent", "", "Parent PID"), false, false),
            Self::User => known(("user", "user_name"), ("User", "", "User"), true, false),
            Self::Cpu => known(("cpu", "cpu_percent"), ("CPU", "%", "CPU"), true, true),
            Self::Memory => {
                known(("memory", "resident_bytes"), ("Memory", "B", "Memory (resident)"), true, true)
            }
            Self::Virtual => {
                known(("virtual", "virtual_bytes"), ("Virtual", "B", "Virtual size"), false, true)
            }
            Self::Read => known(("read", "read_bytes_per_s"), ("Read", "B/s", "Read per second"), true, true),
            Self::Written => {
                known(("written", "written_bytes_per_s"), ("Write", "B/s", "Written per second"), true, true)
            }
            Self::Threads => known(("threads", "threads"), ("Thr", "", "Threads"), true, true),
            Self::State => known(("state", "state"), ("St", "", "State"), true, false),
            Self::Age => known(("age", "started_at"), ("Age", "", "Age"), true, true),
            Self::CpuTime => known(("cputime", "cpu_time_ms"), ("CPU time", "", "CPU time"), false, true),
            Self::Unit => known(("unit", "unit"), ("Unit", "", "systemd unit"), false, false),
            Self::Container => {
                known(("container", "container"), ("Container", "", "Container"), false, false)
            }
            Self::Executable => {
                known(("executable", "executable"), ("Executable", "", "Executable"), false, false)
            }
            Self::Command => known(("command", "command_line"), ("Command", "", "Command line"), true, false),
        }
    }

    /// Its name in a page's URL, and its class.
    pub fn id(self) -> &'static str {
        self.known().id
    }

    /// Its name in JSON.
    pub fn field(self) -> &'static str {
        self.known().field
    }

    /// What stands over it.
    pub fn head(self) -> &'static str {
        self.known().head
    }

    /// Its unit.
    pub fn unit(self) -> &'static str {
        self.known().unit
    }

    /// What it is called in full.
    pub fn label(self) -> &'static str {
        self.known().label
    }

    /// Whether it is shown unless asked otherwise.
    pub fn usual(self) -> bool {
        self.known().usual
    }

    /// Whether sorting by it starts with the greatest.
    pub fn greatest_first(self) -> bool {
        self.known().greatest_first
    }

    /// Whether a parent's value is that of its whole subtree, as far as sorting goes.
    pub fn adds_up(self) -> bool {
        matches!(self, Self::Cpu | Self::Memory | Self::Read | Self::Written | Self::Threads | Self::CpuTime)
    }

    /// The column with this name in URLs or in JSON.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.id() == name || column.field() == name)
    }
}
