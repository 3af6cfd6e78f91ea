-- Hourly sums of a chunk's processes, from the sources' sums; the view adds up several of one hour.
INSERT INTO {{ CATALOG }}.process_hour
SELECT * FROM process_hour
WHERE host BETWEEN ? AND ? AND pid BETWEEN ? AND ?
ORDER BY host, pid, started_at, hour
