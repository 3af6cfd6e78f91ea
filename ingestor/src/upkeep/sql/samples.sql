-- The samples of a piece, in the order that packs best and that queries for one host or process want.
INSERT INTO $catalog.process_sample
SELECT $packed
FROM process_sample
WHERE host BETWEEN ? AND ? AND pid BETWEEN ? AND ?
ORDER BY host, pid, started_at, captured_at
