CREATE OR REPLACE VIEW process AS
SELECT host, boot_id, pid, start_ticks,
    unnest(latest), first_seen, last_seen
FROM (
    SELECT host, boot_id, pid, start_ticks,
        -- As one value: a field by itself would skip NULL and show an older one.
        arg_max(struct_pack(started_at := started_at, {{ fields::columns(fields::facts()) }}), last_seen) AS latest,
        min(first_seen) AS first_seen, max(last_seen) AS last_seen
    FROM {{ processes }}
    GROUP BY host, boot_id, pid, start_ticks
);
-- What processes were from one time to another: a row in every segment for as long as it stayed the same there. At a moment,
-- a process was what the row with the last facts_since before it says.
CREATE OR REPLACE VIEW process_history AS
FROM {{ history }};
