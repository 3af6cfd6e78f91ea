SELECT name, round(sum(used_ms) / 3.6e6, 2) AS core_hours
FROM (
    SELECT host, boot_id, pid, start_ticks, max(cpu_time_ms) - min(cpu_time_ms) AS used_ms
    FROM process_span
    WHERE last_captured_at > (SELECT max(last_captured_at) FROM segment) - INTERVAL 1 DAY
    GROUP BY ALL
) JOIN process USING (host, boot_id, pid, start_ticks)
GROUP BY name ORDER BY core_hours DESC LIMIT 20
