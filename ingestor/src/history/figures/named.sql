-- What was told of a process, in `sample`, with what it was called then.
named AS (
    SELECT sample.*, facts
    FROM sample JOIN (FROM program WHERE NOT has_changed) USING (host, boot_id, pid, start_ticks)
    UNION ALL
    SELECT sample.*, facts
    FROM sample ASOF JOIN change
        ON sample.host = change.host AND sample.boot_id = change.boot_id AND sample.pid = change.pid
        AND sample.start_ticks = change.start_ticks AND sample.seen_at >= change.since
),
