SELECT epoch_us(captured_at), boot_id, run_id, sequence, interval_ms, monotonic_ms, processes_left_out,
    agent_cpu_time_ms, agent_resident_bytes, agent_pass_us, agent_dropped_snapshots,
    cpu_percent, load_1, load_5, load_15, memory_total_bytes, memory_used_bytes, memory_available_bytes,
    swap_total_bytes, swap_used_bytes, disk_read_bytes, disk_written_bytes, network_received_bytes,
    network_sent_bytes, process_count, thread_count, uptime_s
FROM $host_sample
WHERE host = $1 AND captured_at >= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
    AND captured_at <= make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS AND has_processes
