-- Since when at most {{ MAX_SEEN_ROWS }} rows of processes were captured, to the minute, counted from the newest; NULL where all of them
-- fit. And the newest minute.
SELECT epoch_ms(max(minute) FILTER (WHERE rows_since > {{ MAX_SEEN_ROWS }}) + INTERVAL 1 MINUTE) AS since_ms,
    epoch_ms(max(minute)) AS newest_ms
FROM (
    SELECT minute, sum(captured) OVER (ORDER BY minute DESC) AS rows_since
    FROM (
        SELECT date_trunc('minute', captured_at::TIMESTAMP) AS minute,
            sum(if(has_processes, coalesce(process_count, 0), 0)::HUGEINT + 1) AS captured
        FROM {{ host_sample }}
        GROUP BY ALL
    )
);
