//! The damage check: reads every value of a file of the history. DuckDB compares each block that it reads with its
//! checksum, so a flipped bit or a missing end shows here.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use duckdb::Connection;

use super::{
    Fault, SegmentName,
    attach::fault_of,
    attach_file,
    file::{open_engine, quote_identifier},
};

/// For reading a file whole; the sums over its rows take next to nothing.
const MEMORY_MIB: u64 = 256;
/// Bytes read at once when the system is asked for all of a file.
const CHUNK_BYTES: usize = 1 << 20;

/// Reads every value of a segment in `folder`.
pub(crate) fn verify_segment(folder: &Path, name: &SegmentName) -> Result<(), Fault> {
    verify_file(&folder.join(name.to_string()), &name.alias())
}

/// Reads every value of the database file at `path`.
pub(crate) fn verify_file(path: &Path, alias: &str) -> Result<(), Fault> {
    let read = || -> Result<(), Fault> {
        let of_duckdb = |error| fault_of(path, &error);
        let engine = open_engine(MEMORY_MIB, 1, None).map_err(of_duckdb)?;
        attach_file(&engine, path, alias)?;
        read_tables(&engine, alias).map_err(of_duckdb)
    };
    // Twice, because there may have been no memory or no file handle for it at the first time.
    let verdict = read().or_else(|_| read());
    match verdict {
        // A part that the system cannot read looks like a part that is missing.
        Err(Fault::Damaged(_)) => read_bytes(path).and(verdict),
        _ => verdict,
    }
}

fn read_tables(engine: &Connection, alias: &str) -> duckdb::Result<()> {
    let tables: Vec<String> = engine
        .prepare("SELECT table_name FROM duckdb_tables() WHERE database_name = ?")?
        .query_map([alias], |row| row.get(0))?
        .collect::<duckdb::Result<_>>()?;
    for table in tables {
        let (alias, table) = (quote_identifier(alias), quote_identifier(&table));
        // Not count: DuckDB knows that a hash is never NULL, and would read nothing.
        let sql = format!("SELECT bit_xor(hash(t)) FROM {alias}.{table} t");
        engine.query_row(&sql, [], |row| row.get::<_, Option<u64>>(0))?;
    }
    Ok(())
}

/// Has the system read every byte.
pub(super) fn read_bytes(path: &Path) -> Result<(), Fault> {
    let read = || -> io::Result<()> {
        let (mut file, mut chunk) = (File::open(path)?, vec![0; CHUNK_BYTES]);
        while file.read(&mut chunk)? > 0 {}
        Ok(())
    };
    read().map_err(|error| Fault::of_io(&error))
}
