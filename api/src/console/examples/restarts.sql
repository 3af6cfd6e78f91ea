SELECT host, name, unit, count(*) AS starts, max(started_at) AS last_start, avg(last_seen - started_at) AS lived
FROM process
WHERE started_at > (SELECT max(last_captured_at) FROM segment) - INTERVAL 1 DAY
GROUP BY host, name, unit HAVING starts > 10 ORDER BY starts DESC
