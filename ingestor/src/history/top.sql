-- The use from $2 to $3, grouped; CPU time with that of children that ended and that no sample has shown; $1 is the host, or NULL for all. The whole hours inside, from $4 to $5, are read from
-- `process_hour` where that is filled; $6 to $7 are the hours around, for segments that have nothing else.
WITH summed AS (
    SELECT * FROM {{ process_hour }}
    WHERE hour >= make_timestamp_ms($4::BIGINT)::TIMESTAMP_MS AND hour < make_timestamp_ms($5::BIGINT)::TIMESTAMP_MS
    UNION ALL BY NAME
    SELECT * FROM {{ rolled_up_hour }}
    WHERE hour >= make_timestamp_ms($6::BIGINT)::TIMESTAMP_MS AND hour < make_timestamp_ms($7::BIGINT)::TIMESTAMP_MS
),
sampled AS (
    SELECT * FROM {{ span }}
    UNION ALL
    -- For segments with hourly sums, the time before the first and after the last whole hour.
    SELECT * FROM {{ first_edge }}
    UNION ALL
    SELECT * FROM {{ last_edge }}
),
facts AS (
    SELECT host, boot_id, pid, start_ticks, started_at, facts_since, last_seen,
        struct_pack(name, user_name, unit) AS facts
    FROM {{ programs }}
    WHERE {{ of_host }}
),
program AS (
    SELECT host, boot_id, pid, start_ticks, arg_max(facts, last_seen) AS facts,
        arg_max(started_at, last_seen) AS started_at, min(hash(facts)) <> max(hash(facts)) AS has_changed
    FROM facts
    GROUP BY host, boot_id, pid, start_ticks
),
-- What a process was, and since when, of those that called exec or took another user.
change AS (
    SELECT host, boot_id, pid, start_ticks, facts_since AS since, facts
    FROM facts SEMI JOIN (FROM program WHERE has_changed) USING (host, boot_id, pid, start_ticks)
    QUALIFY lag(facts) OVER (PARTITION BY host, boot_id, pid, start_ticks ORDER BY facts_since, last_seen)
        IS DISTINCT FROM facts
),
piece AS (
    SELECT host, boot_id, pid, start_ticks, first_captured_at AS at, cpu_time_first_ms, cpu_time_last_ms,
        resident_bytes_max, read_bytes_first, read_bytes_last, written_bytes_first, written_bytes_last, ended_children_cpu_ms
    FROM summed
    WHERE {{ of_host }}
    UNION ALL
    SELECT host, boot_id, pid, start_ticks, first_captured_at, cpu_time_ms, cpu_time_ms, resident_bytes,
        read_bytes, read_bytes, written_bytes, written_bytes, ended_children_cpu_ms * snapshots
    FROM sampled
    WHERE {{ of_host }}
),
-- Of a process that changed, what it used since goes to what it was then: what counters grew by since the time before.
phase AS (
    SELECT host, boot_id, pid, start_ticks, since, any_value(facts) AS facts, any_value(started_at) AS started_at,
        min(cpu_time_first_ms) AS cpu_time_first_ms, max(cpu_time_last_ms) AS cpu_time_last_ms,
        max(resident_bytes_max) AS resident_bytes,
        min(read_bytes_first) AS read_bytes_first, max(read_bytes_last) AS read_bytes_last,
        min(written_bytes_first) AS written_bytes_first, max(written_bytes_last) AS written_bytes_last,
        sum(ended_children_cpu_ms) AS ended_children_cpu_ms
    FROM (
        SELECT piece.*, since, facts
        FROM piece ASOF JOIN change
            ON piece.host = change.host AND piece.boot_id = change.boot_id AND piece.pid = change.pid
            AND piece.start_ticks = change.start_ticks AND piece.at >= change.since
    )
    JOIN (SELECT host, boot_id, pid, start_ticks, started_at FROM program) USING (host, boot_id, pid, start_ticks)
    GROUP BY host, boot_id, pid, start_ticks, since
),
used AS (
    SELECT host, boot_id, pid, start_ticks, any_value(started_at) AS started_at, false AS has_changed,
        any_value(facts) AS facts,
        {{ Self::growth("cpu_time_first_ms", "cpu_time_last_ms") }}
            + coalesce(sum(ended_children_cpu_ms), 0) AS cpu_time_ms,
        max(resident_bytes_max) AS resident_bytes,
        {{ Self::growth("read_bytes_first", "read_bytes_last") }} AS read_bytes,
        {{ Self::growth("written_bytes_first", "written_bytes_last") }} AS written_bytes
    FROM (
        SELECT *, started_at >= make_timestamp_ms($2::BIGINT) AS is_new
        FROM piece JOIN (FROM program WHERE NOT has_changed) USING (host, boot_id, pid, start_ticks)
    )
    GROUP BY host, boot_id, pid, start_ticks
    UNION ALL
    SELECT host, boot_id, pid, start_ticks, started_at, true, facts,
        {{ Self::growth_of_phase("cpu_time_first_ms", "cpu_time_last_ms") }} + coalesce(ended_children_cpu_ms, 0),
        resident_bytes,
        {{ Self::growth_of_phase("read_bytes_first", "read_bytes_last") }},
        {{ Self::growth_of_phase("written_bytes_first", "written_bytes_last") }}
    FROM phase
    WINDOW life AS (PARTITION BY host, boot_id, pid, start_ticks ORDER BY since)
),
named AS (
    SELECT {{ key }} AS key,
        CASE WHEN {{ is_alone }}
            THEN struct_pack(host, boot_id, pid, start_ticks, started_at_us := epoch_us(started_at)) END AS identity,
        CASE WHEN has_changed THEN struct_pack(host, boot_id, pid, start_ticks) END AS changed,
        host, cpu_time_ms, resident_bytes, read_bytes, written_bytes
    FROM used
)
SELECT key, identity.host, identity.boot_id, identity.pid, identity.start_ticks, identity.started_at_us,
    count(DISTINCT host), count(*) FILTER (changed IS NULL) + count(DISTINCT changed),
    sum(cpu_time_ms) AS cpu_time_ms, max(resident_bytes) AS peak_resident_bytes,
    sum(read_bytes) AS read_bytes, sum(written_bytes) AS written_bytes,
    count(*) OVER (), sum(sum(cpu_time_ms)) OVER ()
FROM named
GROUP BY key, identity
ORDER BY {{ by }} DESC NULLS LAST, key, identity
LIMIT $8
