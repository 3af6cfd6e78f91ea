-- The processes that hosts had at the moments in the table `wanted`. Where no snapshot keeps its processes, those that were
-- seen last of each host.
WITH sample AS (
    SELECT host, boot_id, pid, start_ticks, cpu_time_ms, resident_bytes FROM {{ process_sample }}
),
last_seen AS (
    SELECT host, boot_id, pid, start_ticks, NULL::BIGINT AS cpu_time_ms, NULL::BIGINT AS resident_bytes
    FROM {{ process }}
    SEMI JOIN (SELECT host FROM wanted WHERE host NOT IN (SELECT host FROM sample)) USING (host)
    QUALIFY last_seen = max(last_seen) OVER (PARTITION BY host)
)
SELECT host, boot_id, pid, start_ticks, epoch_us(started_at) AS started_at_us, cpu_time_ms, resident_bytes,
    {{ fields::readable(fields::facts()) }}
FROM (FROM sample UNION ALL FROM last_seen)
JOIN {{ process }} USING (host, boot_id, pid, start_ticks)
