-- Hourly sums of a chunk's processes, from the sources' sums; the view adds up several of one hour. Of a process that became
-- another one, each has its own.
INSERT INTO {{ CATALOG }}.process_hour
WITH
{% if has_changes %}
chunk (first_host, last_host, first_pid, last_pid) AS (VALUES (?, ?, ?, ?)),
sums AS (
    SELECT process_hour.* FROM process_hour, chunk
    WHERE host BETWEEN first_host AND last_host AND pid BETWEEN first_pid AND last_pid
        AND (host, boot_id, pid, start_ticks) NOT IN (SELECT (host, boot_id, pid, start_ticks) FROM change)
    UNION ALL BY NAME
    SELECT rows.* FROM all_rows_of_process_hour AS rows, chunk
    WHERE host BETWEEN first_host AND last_host AND pid BETWEEN first_pid AND last_pid
        AND (host, boot_id, pid, start_ticks) IN (SELECT (host, boot_id, pid, start_ticks) FROM change)
)
{% else %}
sums AS (
    FROM process_hour
    WHERE host BETWEEN ? AND ? AND pid BETWEEN ? AND ?
)
{% endif %}
SELECT host, boot_id, pid, {{ segment::sql_stored_start("started_at") }}, hour, samples, first_captured_at, last_captured_at,
    cpu_percent_max, cpu_time_first_ms, cpu_time_last_ms, resident_samples, resident_bytes_sum, resident_bytes_max,
    read_bytes_first, read_bytes_last, written_bytes_first, written_bytes_last, ended_children_cpu_ms, shared_bytes_sum
FROM sums
ORDER BY host, pid, start_ticks, hour
