-- Processes as they were at a moment, on every host that was not silent then, with what a filter may ask for. A host sample
-- here has `patience_ms`: for how long it says how it was, if that is more than three intervals.
WITH latest AS (
    SELECT host, boot_id, captured_at, memory_total_bytes, monotonic_ms,
        greatest(patience_ms, 3 * interval_ms::BIGINT) AS patience_ms,
        lag({'boot_id': boot_id, 'captured_at': captured_at, 'monotonic_ms': monotonic_ms})
            OVER (PARTITION BY host ORDER BY captured_at) AS previous
    FROM $samples
    WHERE has_processes AND captured_at <= make_timestamp_ms($at_ms)::TIMESTAMP_MS
    QUALIFY row_number() OVER (PARTITION BY host ORDER BY captured_at DESC) = 1
),
moments AS (
    SELECT host, boot_id, captured_at AS now_at, memory_total_bytes,
        -- Rates are over the time since the snapshot before, if that is of the same boot.
        (monotonic_ms - previous.monotonic_ms) / 1000 AS elapsed_s,
        unnest(CASE WHEN previous.boot_id = boot_id THEN [captured_at, previous.captured_at] ELSE [captured_at] END)
            AS captured_at
    FROM latest
    WHERE $at_ms - epoch_ms(captured_at) <= patience_ms
),
sampled AS (
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
    ORDER BY last_seen DESC
),
found AS (
    SELECT *,
        100.0 * resident_bytes / nullif(memory_total_bytes, 0) AS memory_percent,
        CASE WHEN elapsed_s > 0 AND read_since >= 0 THEN read_since / elapsed_s END AS read_per_s,
        CASE WHEN elapsed_s > 0 AND written_since >= 0 THEN written_since / elapsed_s END AS written_per_s,
        (epoch_us(captured_at) - epoch_us(started_at)) / 1e6 AS age_s
    FROM sampled JOIN known USING (host, boot_id, pid, started_at)
)
SELECT count(*) OVER (), host, boot_id, pid, epoch_us(started_at), epoch_us(captured_at), parent_pid, name, executable,
    command_line, user_name, state, threads, cpu_percent, cpu_time_ms, resident_bytes, virtual_bytes, read_bytes,
    written_bytes, unit, container, memory_total_bytes, read_per_s, written_per_s
FROM found
WHERE $condition
ORDER BY host, pid, started_at
LIMIT $limit
