SELECT p.name, count(*), sum(cpu), max(memory), sum(bytes_read), sum(written)
FROM (
    SELECT host, boot_id, pid, started_us,
        max(cpu_time_ms) - CASE WHEN started_us >= $from * 1000 THEN 0 ELSE min(cpu_time_ms) END AS cpu,
        max(resident_bytes) AS memory,
        max(read_bytes) - CASE WHEN started_us >= $from * 1000 THEN 0 ELSE min(read_bytes) END AS bytes_read,
        max(written_bytes) - CASE WHEN started_us >= $from * 1000 THEN 0 ELSE min(written_bytes) END AS written
    FROM process_sample
    WHERE captured_ms >= $from AND captured_ms < $to
    GROUP BY host, boot_id, pid, started_us
) used
JOIN process p ON p.host = used.host AND p.boot_id = used.boot_id AND p.pid = used.pid AND p.started_us = used.started_us
GROUP BY p.name
ORDER BY sum(cpu) DESC
LIMIT 20;
