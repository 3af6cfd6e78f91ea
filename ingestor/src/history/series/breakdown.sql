-- The use of a host's programs in each part of a span: CPU in percent of one core, and resident bytes. $1 is the host,
-- from $2 to $3, in parts of $4 ms.
WITH piece AS (
    SELECT boot_id, pid, started_at, (epoch_ms(hour) - $2) // $4 AS part,
        cpu_time_first_ms, cpu_time_last_ms,
        if(resident_samples > 0, resident_bytes_sum, NULL) AS resident_bytes, samples,
        first_captured_at, last_captured_at
    FROM {{ process_hour }}
    WHERE host = $1
        AND hour >= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
        AND hour < make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS
    UNION ALL
    SELECT boot_id, pid, started_at, (epoch_ms(captured_at) - $2) // $4 AS part,
        min(cpu_time_ms), max(cpu_time_ms), sum(resident_bytes), count(*), min(captured_at), max(captured_at)
    FROM {{ process_sample }}
    WHERE host = $1
    GROUP BY ALL
),
life AS (
    SELECT boot_id, pid, started_at, part,
        min(cpu_time_first_ms) AS cpu_time_first_ms, max(cpu_time_last_ms) AS cpu_time_last_ms,
        sum(resident_bytes) AS resident_bytes, sum(samples) AS samples,
        epoch_ms(min(first_captured_at)) AS first_ms, epoch_ms(max(last_captured_at)) AS last_ms
    FROM piece
    GROUP BY ALL
),
-- The use of each process since the part before; its whole use where it started after the first sample.
used AS (
    SELECT *, cpu_time_last_ms - coalesce(
        lag(cpu_time_last_ms IGNORE NULLS) OVER (PARTITION BY boot_id, pid, started_at ORDER BY part),
        if(started_at >= (SELECT make_timestamp_ms(min(first_ms)) FROM life), 0, cpu_time_first_ms)
    ) AS cpu_ms
    FROM life
),
-- The number of snapshots in a part, which is its longest process's (those of two boots follow each other), and the
-- time since the last snapshot of the part before.
covered AS (
    SELECT part, snapshots, last_ms - coalesce(lag(last_ms) OVER (ORDER BY part), first_ms) AS elapsed_ms
    FROM (
        SELECT part, sum(snapshots) AS snapshots, min(first_ms) AS first_ms, max(last_ms) AS last_ms
        FROM (
            SELECT part, max(samples) AS snapshots, min(first_ms) AS first_ms, max(last_ms) AS last_ms
            FROM life
            GROUP BY part, boot_id
        )
        GROUP BY part
    )
),
program AS (
    SELECT boot_id, pid, started_at, arg_max(name, last_seen) AS name
    FROM {{ programs }}
    WHERE host = $1
    GROUP BY ALL
)
SELECT name, part,
    -- CPU time in ms per second: ten times the percentage.
    ({{ Self::cpu_ms_per_s() }}) / 10,
    sum(resident_bytes)::DOUBLE / any_value(snapshots)
FROM used
JOIN covered USING (part)
JOIN program USING (boot_id, pid, started_at)
GROUP BY name, part
