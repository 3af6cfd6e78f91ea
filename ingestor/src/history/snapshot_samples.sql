SELECT boot_id, pid, epoch_us(started_at), epoch_us(captured_at), state, threads, cpu_percent, cpu_time_ms,
    resident_bytes, virtual_bytes, read_bytes, written_bytes
FROM $process_sample
WHERE host = $1 AND captured_at >= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
    AND captured_at <= make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS
