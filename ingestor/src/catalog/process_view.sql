CREATE OR REPLACE VIEW process AS
SELECT host, boot_id, pid, started_at,
    unnest(latest), first_seen, last_seen
FROM (
    SELECT host, boot_id, pid, started_at,
        -- As one value: a field by itself would skip NULL and show an older one.
        arg_max(struct_pack({{ fields::columns(fields::facts()) }}), last_seen) AS latest,
        min(first_seen) AS first_seen, max(last_seen) AS last_seen
    FROM {{ processes }}
    GROUP BY host, boot_id, pid, started_at
);
