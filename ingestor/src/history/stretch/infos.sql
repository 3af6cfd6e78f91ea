SELECT epoch_us(captured_at), os_host_name, agent_version, os, kernel, architecture, cpu_model, cores, threads, frequency_mhz,
    memory_bytes, epoch_us(boot_at)
FROM $host_info
WHERE host = $1
