-- The first snapshots of boots within a span, where there is a boot before.
SELECT host, epoch_us(first_at) AS at_us
FROM (
    SELECT host, min(captured_at) AS first_at, row_number() OVER (PARTITION BY host ORDER BY first_at) AS number
    FROM {{ host_sample }}
    WHERE {{ of_host }}
    GROUP BY host, boot_id
)
WHERE number > 1
    AND first_at >= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
    AND first_at < make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS
