-- One by one: spans of several segments may reach over one another.
INSERT INTO {{ SEEN }}.process_span BY NAME
SELECT host, boot_id, pid, start_ticks, started_at, captured_at AS first_captured_at, captured_at AS last_captured_at, 1 AS snapshots,
    {{ fields::packed_figures() }}
FROM {{ process_sample }}
WHERE {{ is_recent }};
CHECKPOINT {{ SEEN }};
INSERT INTO {{ SEEN }}.capture BY NAME
SELECT host, row_number() OVER (ORDER BY host, captured_at) - 1 AS number, captured_at
FROM (SELECT DISTINCT host, first_captured_at AS captured_at FROM {{ SEEN }}.process_span);
CHECKPOINT {{ SEEN }};
