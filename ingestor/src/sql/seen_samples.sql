-- One by one: spans of several segments may reach over one another.
INSERT INTO $seen.process_span BY NAME
SELECT host, boot_id, pid, started_at, captured_at AS first_captured_at, captured_at AS last_captured_at, 1 AS snapshots,
    $packed
FROM $process_sample
WHERE $is_recent;
CHECKPOINT $seen;
INSERT INTO $seen.capture BY NAME
SELECT host, row_number() OVER (ORDER BY host, captured_at) - 1 AS number, captured_at
FROM (SELECT DISTINCT host, first_captured_at AS captured_at FROM $seen.process_span);
CHECKPOINT $seen;
