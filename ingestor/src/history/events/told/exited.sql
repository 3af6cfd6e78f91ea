-- Processes that the next snapshot of the same boot does not have, where that snapshot lies within a span.
WITH life AS (
    SELECT host, boot_id, pid, start_ticks, started_at, max(last_seen) AS last_seen,
        arg_max(struct_pack(name, executable, command_line, unit), last_seen) AS latest
    FROM {{ process }}
    WHERE {{ of_host }}
    GROUP BY ALL
),
snapshot AS (
    SELECT host, boot_id, captured_at
    FROM {{ host_sample }}
    WHERE {{ of_host }}
)
SELECT life.host AS host, life.boot_id AS boot_id, pid, start_ticks, epoch_us(started_at) AS started_at_us, epoch_us(captured_at) AS at_us,
    latest.name AS name, latest.executable AS executable, latest.command_line AS command_line, latest.unit AS unit
FROM life
ASOF JOIN snapshot
    ON life.host = snapshot.host AND life.boot_id = snapshot.boot_id AND life.last_seen < snapshot.captured_at
WHERE captured_at >= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
    AND captured_at < make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS
