//! Tests of the columns that views name.

use super::*;
use crate::segment::open_engine;

#[test]
fn columns_are_named_as_the_schema_has_them() {
    let engine = open_engine(64, 1, None).unwrap();
    engine.execute_batch(&attach_empty()).unwrap();
    let tables = Tables::of_catalog(EMPTY);
    let tables_with_columns = [
        "segment",
        "event",
        "gap",
        "host_info",
        "host_sample",
        "filesystem_sample",
        "interface_sample",
        "process",
        "capture",
        "process_hour",
    ];
    for table in tables_with_columns {
        let columns = |sql: &str| {
            let mut statement = engine.prepare(sql).unwrap();
            let _ = statement.query([]).unwrap();
            statement.column_names()
        };
        let by_name = rows_of(table, &tables).unwrap();
        assert_eq!(columns(&by_name), columns(&format!("FROM {EMPTY}.{table}")), "{table}");
    }
}
