CREATE OR REPLACE VIEW process AS
SELECT host, boot_id, pid, started_at,
    latest.parent_pid, latest.name, latest.executable, latest.command_line, latest.user_name, latest.unit,
    latest.container, first_seen, last_seen
FROM (
    SELECT host, boot_id, pid, started_at,
        -- As one value: a field by itself would skip NULL and show an older one.
        arg_max({'parent_pid': parent_pid, 'name': name, 'executable': executable, 'command_line': command_line,
            'user_name': user_name, 'unit': unit, 'container': container}, last_seen) AS latest,
        min(first_seen) AS first_seen, max(last_seen) AS last_seen
    FROM $processes
    GROUP BY host, boot_id, pid, started_at
);
