-- Sums of every hour of the processes of a piece, from such sums; the view puts those of one hour together.
INSERT INTO $catalog.process_hour
SELECT * FROM process_hour
WHERE host BETWEEN ? AND ? AND pid BETWEEN ? AND ?
ORDER BY host, pid, started_at, hour
