SELECT host, mount,
    arg_max(100.0 * used_bytes / (used_bytes + coalesce(available_bytes, total_bytes - used_bytes)), captured_at) AS used_percent,
    (arg_max(coalesce(available_bytes, total_bytes - used_bytes), captured_at) / regr_slope(used_bytes, epoch(captured_at)) / 86400) AS full_in_days
FROM filesystem_sample
WHERE captured_at > (SELECT max(last_captured_at) FROM segment) - INTERVAL 7 DAY
GROUP BY host, mount HAVING full_in_days BETWEEN 0 AND 30 ORDER BY full_in_days
