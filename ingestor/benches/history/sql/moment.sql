SELECT p.parent_pid, p.name, p.executable, p.command_line, p.user_name, p.unit, p.container, s.*
FROM process_sample s
JOIN process p ON p.host = s.host AND p.boot_id = s.boot_id AND p.pid = s.pid AND p.started_us = s.started_us
WHERE s.host = '$host' AND s.captured_ms = (
    SELECT max(captured_ms) FROM host_sample WHERE host = '$host' AND captured_ms <= $to
);
