-- The last snapshot of each host in every minute.
CREATE TEMP TABLE kept AS
SELECT host, max(captured_at) AS captured_at FROM host_sample GROUP BY host, date_trunc('minute', captured_at);
