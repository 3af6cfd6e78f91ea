SELECT p.*, s.*
FROM (
    SELECT host, max(captured_ms) AS captured_ms FROM host_sample
    WHERE captured_ms <= $to AND captured_ms > $to - 180000
    GROUP BY host
) latest
JOIN process_sample s ON s.host = latest.host AND s.captured_ms = latest.captured_ms
JOIN process p ON p.host = s.host AND p.boot_id = s.boot_id AND p.pid = s.pid AND p.started_us = s.started_us
WHERE (lower(p.name) LIKE '%postgres%' OR lower(p.command_line) LIKE '%postgres%') AND s.resident_bytes > 10485760
ORDER BY s.host, s.pid
LIMIT 200;
