-- Sums of every hour of the processes of a piece, from their samples. Counters only grow, so their first and last values
-- are the smallest and the greatest, whatever the host's clock did meanwhile.
INSERT INTO $catalog.process_hour
SELECT host, boot_id, pid, started_at,
    date_trunc('hour', captured_at)::TIMESTAMP_MS AS hour,
    count(*),
    min(captured_at),
    max(captured_at),
    max(cpu_percent),
    min(cpu_time_ms),
    max(cpu_time_ms),
    count(resident_bytes),
    CASE WHEN count(resident_bytes) > 0 THEN least(sum(resident_bytes), 9223372036854775807)::BIGINT END,
    max(resident_bytes),
    min(read_bytes),
    max(read_bytes),
    min(written_bytes),
    max(written_bytes)
FROM process_sample
WHERE host BETWEEN ? AND ? AND pid BETWEEN ? AND ?
GROUP BY host, boot_id, pid, started_at, hour
ORDER BY host, pid, started_at, hour
