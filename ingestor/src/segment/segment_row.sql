-- The one row of `segment`, once everything else is in the file.
INSERT INTO {{ catalog }}.segment
SELECT ?::UINTEGER, make_timestamp(?::BIGINT * 1000000), ?, ?, min(captured_at), max(captured_at), ?, ?, ?, ?
FROM {{ catalog }}.host_sample;
