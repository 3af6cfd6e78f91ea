-- The sums that may be beyond the threshold in some hour, by the greatest value of each process in it.
WITH named AS (
    SELECT DISTINCT boot_id, pid, start_ticks, {{ group }} AS named FROM {{ process_history }}
    WHERE host = $1 AND {{ group }} IS NOT NULL
),
most AS (
    SELECT boot_id, pid, start_ticks, hour, max({{ greatest }}) AS most FROM {{ process_hour }}
    WHERE host = $1 AND hour >= date_trunc('hour', make_timestamp_ms($2::BIGINT))
        AND hour <= make_timestamp_ms($3::BIGINT)
    GROUP BY ALL
)
SELECT DISTINCT named FROM named JOIN most USING (boot_id, pid, start_ticks)
GROUP BY hour, named
HAVING sum(most + {{ slack }}) > {{ raise }}
