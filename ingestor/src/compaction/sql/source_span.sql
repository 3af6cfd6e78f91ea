-- The spans of the sources, as they may be put together: those of interleaved hosts one by one.
CREATE TEMP VIEW source_span AS
FROM process_span WHERE host NOT IN (FROM interleaved)
UNION ALL
SELECT host, boot_id, pid, started_at, captured_at, captured_at, 1, $figures
FROM process_sample
WHERE host IN (FROM interleaved);
