-- The samples of a process, from the last snapshot before a span.
SELECT epoch_us(process_sample.captured_at), host_sample.monotonic_ms, host_sample.boot_id,
    resident_bytes::DOUBLE, virtual_bytes::DOUBLE, threads::DOUBLE,
    cpu_time_ms::DOUBLE, read_bytes::DOUBLE, written_bytes::DOUBLE
FROM $process_sample AS process_sample
JOIN $host_sample AS host_sample USING (host, boot_id, captured_at)
WHERE host = $1 AND boot_id = $2 AND pid = $3 AND started_at = make_timestamp($4::BIGINT)
    AND process_sample.captured_at >= make_timestamp_ms($5::BIGINT)::TIMESTAMP_MS
    AND process_sample.captured_at < make_timestamp_ms($6::BIGINT)::TIMESTAMP_MS
    AND host_sample.captured_at >= make_timestamp_ms($5::BIGINT)::TIMESTAMP_MS
    AND host_sample.captured_at < make_timestamp_ms($6::BIGINT)::TIMESTAMP_MS
