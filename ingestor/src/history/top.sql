-- The use from $2 to $3, grouped; $1 is the host, or NULL for all. The whole hours inside, from $4 to $5, are read from
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
piece AS (
    SELECT host, boot_id, pid, started_at, cpu_time_first_ms, cpu_time_last_ms, resident_bytes_max,
        read_bytes_first, read_bytes_last, written_bytes_first, written_bytes_last
    FROM summed
    WHERE {{ of_host }}
    UNION ALL
    SELECT host, boot_id, pid, started_at, min(cpu_time_ms), max(cpu_time_ms), max(resident_bytes),
        min(read_bytes), max(read_bytes), min(written_bytes), max(written_bytes)
    FROM sampled
    WHERE {{ of_host }}
    GROUP BY ALL
),
used AS (
    SELECT host, boot_id, pid, started_at,
        {{ Self::growth("cpu_time_first_ms", "cpu_time_last_ms") }} AS cpu_time_ms,
        max(resident_bytes_max) AS resident_bytes,
        {{ Self::growth("read_bytes_first", "read_bytes_last") }} AS read_bytes,
        {{ Self::growth("written_bytes_first", "written_bytes_last") }} AS written_bytes
    FROM (SELECT *, started_at >= make_timestamp_ms($2::BIGINT) AS is_new FROM piece)
    GROUP BY host, boot_id, pid, started_at, is_new
),
program AS (
    SELECT host, boot_id, pid, started_at, arg_max(struct_pack(name, user_name, unit), last_seen) AS latest
    FROM {{ programs }}
    WHERE {{ of_host }}
    GROUP BY ALL
),
named AS (
    SELECT {{ key }} AS key,
        CASE WHEN {{ is_alone }}
            THEN struct_pack(host, boot_id, pid, started_at_us := epoch_us(started_at)) END AS identity,
        host, cpu_time_ms, resident_bytes, read_bytes, written_bytes
    FROM used
    JOIN program USING (host, boot_id, pid, started_at)
)
SELECT key, identity.host, identity.boot_id, identity.pid, identity.started_at_us,
    count(DISTINCT host), count(*),
    sum(cpu_time_ms) AS cpu_time_ms, max(resident_bytes) AS peak_resident_bytes,
    sum(read_bytes) AS read_bytes, sum(written_bytes) AS written_bytes,
    count(*) OVER ()
FROM named
GROUP BY key, identity
ORDER BY {{ by }} DESC NULLS LAST, key, identity
LIMIT $8
