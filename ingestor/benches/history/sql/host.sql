SELECT (captured_ms - $from) * $points / ($to - $from) AS part, count(*),
    min(cpu_percent), avg(cpu_percent), max(cpu_percent), min(load_1), avg(load_1), max(load_1),
    min(load_5), avg(load_5), max(load_5), min(load_15), avg(load_15), max(load_15),
    min(memory_used_bytes), avg(memory_used_bytes), max(memory_used_bytes), max(memory_total_bytes),
    min(swap_used_bytes), avg(swap_used_bytes), max(swap_used_bytes),
    min(process_count), avg(process_count), max(process_count), min(thread_count), avg(thread_count), max(thread_count),
    min(disk_read / s), sum(disk_read) / sum(s), max(disk_read / s),
    min(disk_written / s), sum(disk_written) / sum(s), max(disk_written / s),
    min(received / s), sum(received) / sum(s), max(received / s), min(sent / s), sum(sent) / sum(s), max(sent / s)
FROM (
    SELECT *, (captured_ms - lag(captured_ms) OVER earlier) / 1000.0 AS s,
        disk_read_bytes - lag(disk_read_bytes) OVER earlier AS disk_read,
        disk_written_bytes - lag(disk_written_bytes) OVER earlier AS disk_written,
        network_received_bytes - lag(network_received_bytes) OVER earlier AS received,
        network_sent_bytes - lag(network_sent_bytes) OVER earlier AS sent
    FROM host_sample
    WHERE host = '$host' AND captured_ms >= $from AND captured_ms < $to
    WINDOW earlier AS (PARTITION BY boot_id ORDER BY captured_ms)
) samples
GROUP BY part
ORDER BY part;
