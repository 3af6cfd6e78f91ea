-- The samples of a host, from the last one before a span.
SELECT epoch_us(captured_at), monotonic_ms, boot_id,
    cpu_percent::DOUBLE, load_1::DOUBLE, load_5::DOUBLE, load_15::DOUBLE, memory_used_bytes::DOUBLE,
    memory_total_bytes::DOUBLE, swap_used_bytes::DOUBLE, process_count::DOUBLE, thread_count::DOUBLE,
    disk_read_bytes::DOUBLE, disk_written_bytes::DOUBLE, network_received_bytes::DOUBLE, network_sent_bytes::DOUBLE
FROM {{ host_sample }}
WHERE host = $1
    AND captured_at >= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
    AND captured_at < make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS
