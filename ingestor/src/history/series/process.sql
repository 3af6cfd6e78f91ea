-- The samples of a process, from the last snapshot before a span.
SELECT file, epoch_us(first_captured_at) AS first_us, epoch_us(last_captured_at) AS last_us,
    {{ Self::doubles() }}
FROM {{ process_span }}
WHERE host = $1 AND boot_id = $2 AND pid = $3 AND start_ticks = $4
    AND last_captured_at >= make_timestamp_ms($5::BIGINT)::TIMESTAMP_MS
    AND first_captured_at < make_timestamp_ms($6::BIGINT)::TIMESTAMP_MS
