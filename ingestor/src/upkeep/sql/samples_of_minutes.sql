-- The samples of a piece whose snapshots are kept.
INSERT INTO $catalog.process_sample
SELECT $packed
FROM process_sample SEMI JOIN kept USING (host, captured_at)
WHERE host BETWEEN ? AND ? AND pid BETWEEN ? AND ?
ORDER BY host, pid, started_at, captured_at
