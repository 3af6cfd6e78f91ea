-- Processes as they were at `moments`, with what a filter may ask for.
WITH sampled AS (
    SELECT *,
        read_bytes - lag(read_bytes) OVER life AS read_since,
        written_bytes - lag(written_bytes) OVER life AS written_since,
    FROM $process_sample JOIN moments USING (host, boot_id, captured_at)
    WINDOW life AS (PARTITION BY host, boot_id, pid, started_at ORDER BY captured_at)
    QUALIFY captured_at = now_at
),
-- Each segment with a process says what it is.
known AS (
    SELECT DISTINCT ON (host, boot_id, pid, started_at) *
    FROM $process
    WHERE last_seen >= $first AND first_seen <= $last
    ORDER BY last_seen DESC
),
found AS (
    SELECT *,
        $memory_percent AS memory_percent,
        $read_per_s AS read_per_s,
        $written_per_s AS written_per_s,
        $age_s AS age_s
    FROM sampled JOIN known USING (host, boot_id, pid, started_at)
)
SELECT count(*) OVER (), host, boot_id, pid, epoch_us(started_at), epoch_us(captured_at), parent_pid, name, executable,
    command_line, user_name, state, threads, cpu_percent, cpu_time_ms, resident_bytes, virtual_bytes, read_bytes,
    written_bytes, unit, container, memory_total_bytes, read_per_s, written_per_s
FROM found
WHERE $condition
ORDER BY host, pid, started_at
LIMIT $limit
