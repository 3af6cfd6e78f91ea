-- The longest interval between two samples of a host that was set within a span.
SELECT coalesce(max(interval_ms), 0)::BIGINT
FROM {{ host_sample }}
WHERE host = $1
    AND captured_at >= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
    AND captured_at < make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS
