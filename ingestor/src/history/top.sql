-- The use from $2 to $3, grouped; CPU time with that of children that ended and that no sample has shown; $1 is the host, or
-- NULL for all. Where `process_hour` is filled, it is read for what lies within: whole segments, and of others the whole
-- hours, from $4 to $5; $6 to $7 are the hours around, for segments that have nothing else.
WITH summed AS NOT MATERIALIZED (
    -- Of segments within the time, all.
    SELECT * FROM {{ whole_hour }}
    UNION ALL BY NAME
    SELECT * FROM {{ process_hour }}
    WHERE hour >= make_timestamp_ms($4::BIGINT)::TIMESTAMP_MS AND hour < make_timestamp_ms($5::BIGINT)::TIMESTAMP_MS
    UNION ALL BY NAME
    SELECT * FROM {{ rolled_up_hour }}
    WHERE hour >= make_timestamp_ms($6::BIGINT)::TIMESTAMP_MS AND hour < make_timestamp_ms($7::BIGINT)::TIMESTAMP_MS
),
sampled AS NOT MATERIALIZED (
    SELECT *, snapshots AS within FROM {{ whole_span }}
    UNION ALL BY NAME
    SELECT *, {{ Self::within("$2", "$3") }} AS within FROM {{ span }}
    UNION ALL BY NAME
    -- For segments with hourly sums, the time before the first and after the last whole hour.
    SELECT *, {{ Self::within("$2", "$4") }} AS within FROM {{ first_edge }}
    UNION ALL BY NAME
    SELECT *, {{ Self::within("$5", "$3") }} AS within FROM {{ last_edge }}
),
-- Read twice, the second time for the few processes that changed. Kept in between, the pieces would not fit in memory.
piece AS NOT MATERIALIZED (
    SELECT host, boot_id, pid, start_ticks, first_captured_at AS at, cpu_time_first_ms, cpu_time_last_ms,
        resident_bytes_max, read_bytes_first, read_bytes_last, written_bytes_first, written_bytes_last, ended_children_cpu_ms,
        samples, resident_bytes_sum::DOUBLE AS resident_bytes_sum,
        coalesce({{ sums::sql_shared("resident_bytes_sum", "shared_bytes_sum") }}, 0)::DOUBLE AS shared_bytes_sum
    FROM summed
    WHERE {{ of_host }}
    UNION ALL
    SELECT host, boot_id, pid, start_ticks, first_captured_at, cpu_time_ms, cpu_time_ms, resident_bytes,
        read_bytes, read_bytes, written_bytes, written_bytes, ended_children_cpu_ms * within,
        within, resident_bytes::DOUBLE * within, coalesce({{ sums::sql_shared("resident_bytes", "shared_bytes") }}, 0)::DOUBLE * within
    FROM sampled
    WHERE {{ of_host }}
),
fact AS NOT MATERIALIZED (
    SELECT host, boot_id, pid, start_ticks, started_at, facts_since, last_seen, {{ fact }} AS fact
    FROM {{ programs }}
    WHERE {{ of_host }}
),
program AS (
    SELECT host, boot_id, pid, start_ticks, any_value(fact) AS fact, min(hash(fact)) <> max(hash(fact)) AS has_changed,
        -- Whether it started within the time, as its last row says.
        max(epoch_us(last_seen) * 2 + if(started_at >= make_timestamp_ms($2::BIGINT), 1, 0)) % 2 = 1 AS is_new,
        {% if is_alone %}epoch_us(arg_max(started_at, last_seen)){% else %}NULL::BIGINT{% endif %} AS started_at_us
    FROM fact
    GROUP BY host, boot_id, pid, start_ticks
),
-- What a process was, and since when, of those that called exec or took another user.
change AS (
    SELECT host, boot_id, pid, start_ticks, facts_since AS since, fact
    FROM fact SEMI JOIN (FROM program WHERE has_changed) USING (host, boot_id, pid, start_ticks)
    WINDOW life AS (PARTITION BY host, boot_id, pid, start_ticks ORDER BY facts_since, last_seen)
    QUALIFY lag(fact) OVER life IS DISTINCT FROM fact OR row_number() OVER life = 1
),
-- Of a process that changed, what it used since goes to what it was then: what counters grew by since the time before.
phase AS (
    SELECT host, boot_id, pid, start_ticks, since, any_value(fact) AS fact, {{ Self::summed_up() }}
    FROM (
        SELECT piece.*, since, fact
        -- ASOF sorts all that it is given, so it is given the pieces of these few processes.
        FROM (FROM piece SEMI JOIN change USING (host, boot_id, pid, start_ticks)) AS piece ASOF JOIN change
            ON piece.host = change.host AND piece.boot_id = change.boot_id AND piece.pid = change.pid
            AND piece.start_ticks = change.start_ticks AND piece.at >= change.since
    )
    GROUP BY host, boot_id, pid, start_ticks, since
),
-- Summed up before they are joined: processes are far fewer than their spans.
life AS (
    SELECT host, boot_id, pid, start_ticks, {{ Self::summed_up() }}
    FROM piece
    GROUP BY host, boot_id, pid, start_ticks
),
used AS (
    SELECT host, boot_id, pid, start_ticks, started_at_us, false AS has_changed, fact,
        {{ Self::growth("cpu_time_first_ms", "cpu_time_last_ms") }} + coalesce(ended_children_cpu_ms, 0) AS cpu_time_ms,
        resident_bytes, resident_bytes_sum, shared_bytes_sum,
        {{ Self::growth("read_bytes_first", "read_bytes_last") }} AS read_bytes,
        {{ Self::growth("written_bytes_first", "written_bytes_last") }} AS written_bytes
    FROM life JOIN (FROM program WHERE NOT has_changed) USING (host, boot_id, pid, start_ticks)
    UNION ALL
    SELECT host, boot_id, pid, start_ticks, started_at_us, true, phase.fact,
        {{ Self::growth_of_phase("cpu_time_first_ms", "cpu_time_last_ms") }} + coalesce(ended_children_cpu_ms, 0),
        resident_bytes, resident_bytes_sum, shared_bytes_sum,
        {{ Self::growth_of_phase("read_bytes_first", "read_bytes_last") }},
        {{ Self::growth_of_phase("written_bytes_first", "written_bytes_last") }}
    FROM phase JOIN program USING (host, boot_id, pid, start_ticks)
    WINDOW life AS (PARTITION BY host, boot_id, pid, start_ticks ORDER BY since)
),
-- How many snapshots of a host there are: as many as of the process that is in most, of each boot.
recorded AS (
    SELECT host, sum(snapshots) AS snapshots
    FROM (SELECT host, boot_id, max(samples) AS snapshots FROM life GROUP BY host, boot_id)
    GROUP BY host
),
named AS (
    SELECT {{ key }} AS key,
        CASE WHEN {{ is_alone }}
            THEN struct_pack(host, boot_id, pid, start_ticks, started_at_us) END AS identity,
        CASE WHEN has_changed THEN struct_pack(host, boot_id, pid, start_ticks) END AS changed,
        host, cpu_time_ms, resident_bytes, resident_bytes_sum, shared_bytes_sum, read_bytes, written_bytes
    FROM used
),
-- What processes of one host share is counted once: as `GroupMemory` has it.
of_host AS (
    SELECT key, identity, host, count(*) FILTER (changed IS NULL) + count(DISTINCT changed) AS processes,
        sum(cpu_time_ms) AS cpu_time_ms, max(resident_bytes) AS resident_bytes,
        (sum(resident_bytes_sum - shared_bytes_sum) + max(shared_bytes_sum)) / any_value(recorded.snapshots) AS memory_bytes,
        sum(read_bytes) AS read_bytes, sum(written_bytes) AS written_bytes
    FROM named JOIN recorded USING (host)
    GROUP BY key, identity, host
)
SELECT key, identity.host AS host, identity.boot_id AS boot_id, identity.pid AS pid, identity.start_ticks AS start_ticks,
    identity.started_at_us AS started_at_us, count(*) AS hosts, sum(processes)::UBIGINT AS processes,
    sum(cpu_time_ms) AS cpu_time_ms, sum(of_host.memory_bytes) AS memory_bytes,
    max(resident_bytes)::HUGEINT AS peak_resident_bytes,
    sum(read_bytes) AS read_bytes, sum(written_bytes) AS written_bytes,
    count(*) OVER () AS total, sum(sum(cpu_time_ms)) OVER () AS all_cpu_time_ms
FROM of_host
GROUP BY key, identity
ORDER BY {{ by }} DESC NULLS LAST, key, identity
LIMIT $8
