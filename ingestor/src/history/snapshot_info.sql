-- What the host was then: of the last time that it was seen to change, or what is known of it first.
SELECT os_host_name, agent_version, os, kernel, architecture, cpu_model, cores, threads, frequency_mhz, memory_bytes,
    epoch_us(boot_at)
FROM $host_info
WHERE host = $1
ORDER BY captured_at <= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS DESC,
    abs(epoch_ms(captured_at) - $3::BIGINT)
LIMIT 1
