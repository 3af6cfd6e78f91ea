-- The statements that fill the tables, without their generated columns.
SELECT format('INSERT INTO later.{} ({}) SELECT {} FROM source.{}', table_name, string_agg(column_name, ', '),
    string_agg(CASE
        WHEN column_name = 'stream_created' THEN column_name
        WHEN data_type = 'TIMESTAMP' THEN column_name || ' + INTERVAL $days DAY'
        WHEN data_type = 'TIMESTAMP_MS' THEN format('({}::TIMESTAMP + INTERVAL $days DAY)::TIMESTAMP_MS', column_name)
        WHEN column_name IN ('boot_id', 'run_id') THEN column_name || ' || ''-$days'''
        WHEN column_name IN ('first_sequence', 'last_sequence') THEN column_name || ' + $sequences'
        ELSE '"' || column_name || '"'
    END, ', '), table_name)
FROM information_schema.columns JOIN duckdb_tables() USING (table_name)
WHERE table_catalog = 'later' AND database_name = 'later' AND is_generated = 'NEVER'
GROUP BY table_name
