SELECT (captured_ms - $from) * $points / ($to - $from) AS part, count(*),
    min(cpu / s), sum(cpu) / sum(s), max(cpu / s), min(resident_bytes), avg(resident_bytes), max(resident_bytes),
    min(virtual_bytes), avg(virtual_bytes), max(virtual_bytes), min(threads), avg(threads), max(threads),
    min(bytes_read / s), sum(bytes_read) / sum(s), max(bytes_read / s),
    min(written / s), sum(written) / sum(s), max(written / s)
FROM (
    SELECT *, (captured_ms - lag(captured_ms) OVER earlier) / 1000.0 AS s,
        cpu_time_ms - lag(cpu_time_ms) OVER earlier AS cpu,
        read_bytes - lag(read_bytes) OVER earlier AS bytes_read,
        written_bytes - lag(written_bytes) OVER earlier AS written
    FROM process_sample
    WHERE host = '$host' AND pid = $pid AND started_us = $started AND captured_ms >= $from AND captured_ms < $to
    WINDOW earlier AS (ORDER BY captured_ms)
) samples
GROUP BY part
ORDER BY part;
