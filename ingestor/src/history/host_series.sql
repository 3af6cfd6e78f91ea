SELECT epoch_us(captured_at), cpu_percent, memory_used_bytes, memory_total_bytes
FROM host_sample
WHERE host = ? AND captured_at >= make_timestamp(?::BIGINT) AND captured_at < make_timestamp(?::BIGINT)
ORDER BY captured_at
