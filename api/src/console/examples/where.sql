SELECT host, name, executable, count(*) AS processes, min(started_at) AS since
FROM process
WHERE name ILIKE '%ssh%' AND last_seen > (SELECT max(last_captured_at) FROM segment) - INTERVAL 5 MINUTE
GROUP BY host, name, executable ORDER BY host, since
