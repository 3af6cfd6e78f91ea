-- One row for each process of a piece, as it was seen last. A window and not arg_max as in the view: it sorts, so it can
-- spill.
INSERT INTO {{ CATALOG }}.process
SELECT * REPLACE (min(first_seen) OVER (PARTITION BY host, boot_id, pid, started_at) AS first_seen)
FROM all_rows_of_process
WHERE host BETWEEN ? AND ? AND pid BETWEEN ? AND ?
QUALIFY row_number() OVER (PARTITION BY host, boot_id, pid, started_at ORDER BY last_seen DESC) = 1
ORDER BY host, pid, started_at
