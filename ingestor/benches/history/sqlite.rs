//! SQLite with the rows, in a file, read by the program itself.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use duckdb::types::ValueRef;
use fleetps_ingestor::history::History;
use rusqlite::{Connection, types::Value};

use crate::load::{COPIES, INDEXES, Peer, TABLES};

pub struct Sqlite {
    connection: Connection,
    file: PathBuf,
}

impl Sqlite {
    pub fn load(folder: &Path, history: &History) -> Self {
        let file = folder.join("sqlite.db");
        let mut connection = Connection::open(&file).unwrap();
        // As much memory as the others have, and a file that is mapped.
        connection.execute_batch("PRAGMA cache_size = -1048576; PRAGMA mmap_size = 8589934592").unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF").unwrap();
        connection.execute_batch(TABLES).unwrap();
        let database = history.database().unwrap();
        for (table, select) in COPIES {
            let transaction = connection.transaction().unwrap();
            let mut reading = database.prepare(select).unwrap();
            let mut rows = reading.query([]).unwrap();
            let columns = rows.as_ref().unwrap().column_count();
            let places = vec!["?"; columns].join(", ");
            let mut insert = transaction.prepare(&format!("INSERT INTO {table} VALUES ({places})")).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let values = (0..columns).map(|column| value(row.get_ref(column).unwrap()));
                insert.execute(rusqlite::params_from_iter(values)).unwrap();
            }
            drop(insert);
            transaction.commit().unwrap();
        }
        connection.execute_batch(INDEXES).unwrap();
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        Self { connection, file }
    }
}

/// The same value, as SQLite has it.
fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::UInt(number) => Value::Integer(number.into()),
        ValueRef::BigInt(number) => Value::Integer(number),
        ValueRef::Float(number) => Value::Real(number.into()),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        other => panic!("{other:?}"),
    }
}

impl Peer for Sqlite {
    fn name(&self) -> &'static str {
        "SQLite"
    }

    fn ask(&mut self, sql: &str) -> Duration {
        let start = Instant::now();
        let mut statement = self.connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                std::hint::black_box(row.get_ref(column).unwrap());
            }
        }
        start.elapsed()
    }

    fn bytes(&self) -> u64 {
        fs::metadata(&self.file).unwrap().len()
    }
}
