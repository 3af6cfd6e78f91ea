-- What the processes of a chunk were, while it is copied.
CREATE TEMP TABLE facts AS
SELECT host, boot_id, pid, start_ticks, started_at, {{ fields::columns(fields::facts()) }},
    first_seen, facts_since, last_seen
FROM all_rows_of_process_history
LIMIT 0;
