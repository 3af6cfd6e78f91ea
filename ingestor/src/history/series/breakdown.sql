-- The use of a host's programs in each part of a span: CPU in percent of one core, and resident bytes. $1 is the host,
-- from $2 to $3, in parts of $4 ms.
WITH facts AS (
    SELECT boot_id, pid, start_ticks, started_at, name, facts_since, last_seen FROM {{ programs }} WHERE host = $1
),
program AS (
    SELECT boot_id, pid, start_ticks, arg_max(name, last_seen) AS last_name,
        arg_max(started_at, last_seen) AS started_at, min(name) <> max(name) AS has_changed
    FROM facts
    GROUP BY boot_id, pid, start_ticks
),
-- The names of processes that had several, and since when.
change AS (
    SELECT boot_id, pid, start_ticks, facts_since AS since, name
    FROM facts SEMI JOIN (FROM program WHERE has_changed) USING (boot_id, pid, start_ticks)
    QUALIFY lag(name) OVER (PARTITION BY boot_id, pid, start_ticks ORDER BY facts_since, last_seen)
        IS DISTINCT FROM name
),
piece AS (
    SELECT boot_id, pid, start_ticks, first_captured_at AS at, (epoch_ms(hour) - $2) // $4 AS part,
        cpu_time_first_ms, cpu_time_last_ms,
        if(resident_samples > 0, resident_bytes_sum, NULL) AS resident_bytes, shared_bytes_sum AS shared_bytes, samples,
        ended_children_cpu_ms,
        first_captured_at, last_captured_at
    FROM {{ process_hour }}
    WHERE host = $1
        AND hour >= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
        AND hour < make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS
    UNION ALL
    SELECT boot_id, pid, start_ticks, captured_at, (epoch_ms(captured_at) - $2) // $4 AS part,
        cpu_time_ms, cpu_time_ms, resident_bytes, shared_bytes, 1, ended_children_cpu_ms, captured_at, captured_at
    FROM {{ process_sample }}
    WHERE host = $1
),
phase AS (
    SELECT piece.*, NULL::TIMESTAMP_MS AS since, NULL::VARCHAR AS name
    FROM piece ANTI JOIN change USING (boot_id, pid, start_ticks)
    UNION ALL
    SELECT piece.*, since, name
    FROM piece ASOF JOIN change
        ON piece.boot_id = change.boot_id AND piece.pid = change.pid AND piece.start_ticks = change.start_ticks
        AND piece.at >= change.since
),
life AS (
    SELECT boot_id, pid, start_ticks, since, any_value(name) AS name, part,
        min(cpu_time_first_ms) AS cpu_time_first_ms, max(cpu_time_last_ms) AS cpu_time_last_ms,
        sum(resident_bytes) AS resident_bytes,
        {{ sums::sql_shared("sum(resident_bytes)", "sum(shared_bytes)") }} AS shared_bytes,
        sum(samples) AS samples, coalesce(sum(ended_children_cpu_ms), 0) AS ended_children_cpu_ms,
        epoch_ms(min(first_captured_at)) AS first_ms, epoch_ms(max(last_captured_at)) AS last_ms
    FROM phase
    GROUP BY boot_id, pid, start_ticks, since, part
),
-- The use of each process since the part before; its whole use where it started after the first sample.
used AS (
    SELECT life.*, last_name, cpu_time_last_ms - coalesce(
        lag(cpu_time_last_ms IGNORE NULLS)
            OVER (PARTITION BY boot_id, pid, start_ticks ORDER BY part, since NULLS FIRST),
        if(started_at >= (SELECT make_timestamp_ms(min(first_ms)) FROM life), 0, cpu_time_first_ms)
    ) + ended_children_cpu_ms AS cpu_ms
    FROM life JOIN program USING (boot_id, pid, start_ticks)
),
-- The number of snapshots in a part, which is its longest process's (those of two boots follow each other), and the
-- time since the last snapshot of the part before.
covered AS (
    SELECT part, snapshots, last_ms - coalesce(lag(last_ms) OVER (ORDER BY part), first_ms) AS elapsed_ms
    FROM (
        SELECT part, sum(snapshots) AS snapshots, min(first_ms) AS first_ms, max(last_ms) AS last_ms
        FROM (
            SELECT part, max(samples) AS snapshots, min(first_ms) AS first_ms, max(last_ms) AS last_ms
            FROM (
                SELECT boot_id, part, sum(samples) AS samples, min(first_ms) AS first_ms, max(last_ms) AS last_ms
                FROM life
                GROUP BY boot_id, pid, start_ticks, part
            )
            GROUP BY part, boot_id
        )
        GROUP BY part
    )
)
SELECT coalesce(name, last_name) AS name, part,
    {{ Self::cpu_percent() }} AS cpu_percent,
    -- What processes share counts once: of the one that has most.
    (sum(resident_bytes - coalesce(shared_bytes, 0)) + coalesce(max(shared_bytes), 0))::DOUBLE / any_value(snapshots)
        AS memory_bytes
FROM used
JOIN covered USING (part)
GROUP BY coalesce(name, last_name), part
