-- The hours of a process, as far as they reach into a span.
SELECT epoch_us(first_captured_at) AS first_us, epoch_us(last_captured_at) AS last_us, samples, resident_samples,
    resident_bytes_sum::DOUBLE AS resident_bytes_sum, resident_bytes_max::DOUBLE AS resident_bytes_max,
    cpu_percent_max::DOUBLE AS cpu_percent_max,
    (cpu_time_last_ms - cpu_time_first_ms)::DOUBLE AS cpu_time_ms,
    (read_bytes_last - read_bytes_first)::DOUBLE AS read_bytes,
    (written_bytes_last - written_bytes_first)::DOUBLE AS written_bytes
FROM {{ process_hour }}
WHERE host = $1 AND boot_id = $2 AND pid = $3 AND start_ticks = $4
    AND last_captured_at >= make_timestamp_ms($5::BIGINT)::TIMESTAMP_MS
    AND first_captured_at < make_timestamp_ms($6::BIGINT)::TIMESTAMP_MS
