-- The one row of `segment`, once everything else is in the file.
INSERT INTO {{ catalog }}.segment
SELECT ?::UINTEGER, make_timestamp(?::BIGINT * 1000000), ?, ?, min(captured_at), max(captured_at), ?, ?, ?, ?,
    make_timestamp_ms(?::BIGINT)::TIMESTAMP_MS, make_timestamp_ms(?::BIGINT)::TIMESTAMP_MS
FROM {{ catalog }}.host_sample;
