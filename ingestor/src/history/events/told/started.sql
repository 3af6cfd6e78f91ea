-- Processes that were first seen within a span, and not in the first snapshot of their boot: processes in that one were
-- running before, unless their start is later.
WITH life AS (
    SELECT host, boot_id, pid, start_ticks, started_at, min(first_seen) AS first_seen,
        arg_max(struct_pack(name, executable, command_line, unit), last_seen) AS latest
    FROM {{ process }}
    WHERE {{ of_host }}
    GROUP BY ALL
),
boot AS (
    SELECT host, boot_id, min(captured_at) AS first_at
    FROM {{ host_sample }}
    WHERE {{ of_host }}
    GROUP BY ALL
)
SELECT host, boot_id, pid, start_ticks, epoch_us(started_at) AS started_at_us, epoch_us(first_seen) AS at_us,
    latest.name AS name, latest.executable AS executable, latest.command_line AS command_line, latest.unit AS unit
FROM life
JOIN boot USING (host, boot_id)
WHERE first_seen >= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
    AND first_seen < make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS
    AND greatest(first_seen, started_at) > first_at
