-- The sources' spans, ready to be joined: those of interleaved hosts snapshot by snapshot.
CREATE TEMP VIEW source_span AS
FROM process_span WHERE host NOT IN (FROM interleaved)
UNION ALL
SELECT host, boot_id, pid, start_ticks, started_at, captured_at, captured_at, 1, {{ fields::columns(fields::figures()) }}
FROM process_sample
WHERE host IN (FROM interleaved);
