//! Why a file of the history cannot be read. Every file of the history is opened by `attach` first, so this is the one place
//! where an error of DuckDB becomes a verdict about a file.
//!
//! Only [`Fault::Damaged`] ever costs a file its name, and only after it was found twice, minutes apart. Everything else
//! leaves the file as it is.

use std::io;

/// Why a file of the history cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its content was changed: a checksum does not match, or a part is missing.
    #[error("its content is damaged ({0})")]
    Damaged(String),
    /// It is whole, and this program does not understand it.
    #[error("this version cannot read it ({0})")]
    OtherVersion(String),
    /// A passing state: locked, not permitted, an I/O error, something else in its place.
    #[error("it cannot be read now ({0})")]
    Unavailable(String),
    /// It was removed since the folder was listed.
    #[error("it is gone")]
    Gone,
}

impl Fault {
    /// The system's error when it was opened or read.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Gone,
            _ => Self::Unavailable(error.to_string()),
        }
    }

    /// It has a segment's name and is not a regular file: opening a pipe would wait for a writer.
    pub(crate) fn not_a_file() -> Self {
        let what = "a folder, pipe, socket or device is in its place; move that out of the history folder";
        Self::Unavailable(what.to_owned())
    }

    /// The fault behind DuckDB's error when it read this file alone.
    pub(crate) fn of(error: &duckdb::Error) -> Self {
        let said = error.to_string();
        let text = said.lines().next().unwrap_or_default().to_owned();
        let verdict = match error {
            duckdb::Error::DuckDBFailure(..) => verdict(&said),
            // No row, or a value of another type, where fleetps always writes one.
            _ => Verdict::OtherVersion,
        };
        match verdict {
            Verdict::Damage => Self::Damaged(text),
            Verdict::OtherVersion => Self::OtherVersion(text),
            Verdict::Passing => Self::Unavailable(text),
        }
    }

    /// Whether it shows damage.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Damage,
    OtherVersion,
    Passing,
}

/// The types of DuckDB's errors, as their texts begin, with what they say of a file that was read alone. The C interface
/// has the type as a number, which duckdb-rs drops (`result_from_duckdb_result` in its `error.rs`), so that only the text
/// is left. DuckDB checks every block against its checksum before it looks inside, so what it cannot deserialize or bind
/// is whole and unknown. The first row whose type and text both fit counts; what fits none is passing.
const VERDICTS: [(&str, &str, Verdict); 8] = [
    ("Data Corruption Error", "", Verdict::Damage),
    ("FATAL Error", "Data Corruption Error", Verdict::Damage),
    ("IO Error", "Could not read enough bytes from file", Verdict::Damage),
    ("IO Error", "is not a valid DuckDB database file", Verdict::Damage),
    ("IO Error", "Trying to read a database file with storage version", Verdict::OtherVersion),
    ("Serialization Error", "", Verdict::OtherVersion),
    ("Catalog Error", "", Verdict::OtherVersion),
    ("Binder Error", "", Verdict::OtherVersion),
];

fn verdict(said: &str) -> Verdict {
    let fits = |(kind, text, _): &&(&str, &str, Verdict)| said.starts_with(kind) && said.contains(text);
    VERDICTS.iter().find(fits).map_or(Verdict::Passing, |(_, _, verdict)| *verdict)
}
