-- The CPU time that machines used from $2 to $3, in ms by their own count, and how many said none; $1 is the host, or NULL for
-- all. Of a boot within the time all that it used, as of its processes.
SELECT coalesce(sum(grown), 0)::BIGINT AS used_ms, count(*) - count(grown) AS silent
FROM (
    SELECT max(cpu_time_ms)
        - if(min(epoch_ms(captured_at) - monotonic_ms) >= $2, 0, min(cpu_time_ms)) AS grown
    FROM {{ host_sample }}
    WHERE {{ of_host }}
        AND captured_at >= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
        AND captured_at < make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS
    GROUP BY host, boot_id
)
