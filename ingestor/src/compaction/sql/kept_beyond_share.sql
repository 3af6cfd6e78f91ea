-- Every snapshot of the others; of hosts beyond their share, of every minute the last, or none.
CREATE TEMP TABLE kept AS
SELECT host, captured_at FROM host_sample WHERE host NOT IN ({{ hosts }})
UNION ALL
SELECT host, max(captured_at) FROM host_sample WHERE host IN ({{ hosts }}) AND {{ keeps_minutes }}
GROUP BY host, date_trunc('minute', captured_at);
