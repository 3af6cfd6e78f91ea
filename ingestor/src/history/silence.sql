-- Where nothing came from a host for so long that it was silent. $1 is the last moment that is known of any host, $2 the
-- spacing that is kept; within the span from $3 to $4.
SELECT host, epoch_us(captured_at) AS last_us, epoch_us(next_at) AS back_us
FROM (
    SELECT host, captured_at, interval_ms,
        lead(captured_at) OVER later AS next_at, lead(interval_ms) OVER later AS next_interval_ms
    FROM {{ host_sample }}
    WINDOW later AS (PARTITION BY host ORDER BY captured_at)
)
-- The longer of two intervals: where the setting changed, the next sample came as late as the new one says.
WHERE coalesce(epoch_ms(next_at), $1) - epoch_ms(captured_at)
        > {{ staleness::sql_silent_after_ms(["interval_ms", "next_interval_ms", "$2"]) }}
    AND captured_at < make_timestamp_ms($4::BIGINT)::TIMESTAMP_MS AND coalesce(epoch_ms(next_at), $1) > $3
ORDER BY host, captured_at
