-- Where nothing came from a host for longer than $4 times its interval. $1 is the host, $2 the last moment that is known of
-- any host, $3 the spacing that is kept; within the span from $5 to $6.
SELECT host, epoch_us(captured_at), epoch_us(next_at)
FROM (
    SELECT host, captured_at, interval_ms,
        lead(captured_at) OVER later AS next_at, lead(interval_ms) OVER later AS next_interval_ms
    FROM $host_sample
    WHERE $of_host
    WINDOW later AS (PARTITION BY host ORDER BY captured_at)
)
-- The longer of two intervals: where the setting changed, the next sample came as late as the new one says.
WHERE coalesce(epoch_ms(next_at), $2) - epoch_ms(captured_at)
        > $4 * greatest(interval_ms, coalesce(next_interval_ms, 0), $3)::BIGINT
    AND captured_at < make_timestamp_ms($6::BIGINT)::TIMESTAMP_MS AND coalesce(epoch_ms(next_at), $2) > $5
ORDER BY host, captured_at
