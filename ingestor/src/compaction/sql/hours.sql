-- Hourly sums of a chunk's processes, from the sources' sums; the view adds up several of one hour. Of a process that became
-- another one, each has its own.
INSERT INTO {{ CATALOG }}.process_hour
{% if has_changes %}
WITH chunk (first_host, last_host, first_pid, last_pid) AS (VALUES (?, ?, ?, ?))
SELECT process_hour.* FROM process_hour, chunk
WHERE host BETWEEN first_host AND last_host AND pid BETWEEN first_pid AND last_pid
    AND (host, boot_id, pid, start_ticks) NOT IN (SELECT (host, boot_id, pid, start_ticks) FROM change)
UNION ALL
SELECT rows.* FROM all_rows_of_process_hour AS rows, chunk
WHERE host BETWEEN first_host AND last_host AND pid BETWEEN first_pid AND last_pid
    AND (host, boot_id, pid, start_ticks) IN (SELECT (host, boot_id, pid, start_ticks) FROM change)
{% else %}
SELECT * FROM process_hour
WHERE host BETWEEN ? AND ? AND pid BETWEEN ? AND ?
{% endif %}
ORDER BY host, pid, start_ticks, hour
