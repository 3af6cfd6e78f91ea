-- The samples of a host, from the last one before a span.
SELECT epoch_us(captured_at) AS captured_us, monotonic_ms, boot_id, {{ Self::doubles() }}
FROM {{ host_sample }}
WHERE host = $1
    AND captured_at >= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
    AND captured_at < make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS
