SELECT process.name, round(sum(process_sample.cpu_percent * interval_ms) / 3.6e8, 2) AS core_hours
FROM process_sample
JOIN process USING (host, boot_id, pid, started_at)
JOIN host_sample USING (host, boot_id, captured_at)
WHERE captured_at > (SELECT max(last_captured_at) FROM segment) - INTERVAL 1 DAY
GROUP BY process.name ORDER BY core_hours DESC LIMIT 20
