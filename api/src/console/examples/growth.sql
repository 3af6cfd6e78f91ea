SELECT host, pid, name, command_line,
    round((arg_max(resident_bytes, last_captured_at) - arg_min(resident_bytes, first_captured_at)) / 1048576, 1) AS grown_mib
FROM process_span JOIN process USING (host, boot_id, pid, start_ticks)
WHERE last_captured_at > (SELECT max(last_captured_at) FROM segment) - INTERVAL 1 DAY
GROUP BY ALL ORDER BY grown_mib DESC LIMIT 20
