-- Processes over their lives, as they were seen last.
WITH matching AS (
    SELECT DISTINCT host, boot_id, pid, start_ticks FROM {{ process }} WHERE {{ which }}
),
lives AS (
    SELECT host, boot_id, pid, start_ticks, unnest(latest), first_seen, last_seen
    FROM (
        SELECT host, boot_id, pid, start_ticks,
            -- As one value: a field by itself would skip NULL and show an older one.
            arg_max(struct_pack(started_at := started_at, {{ fields::columns(fields::facts()) }}), last_seen) AS latest,
            min(first_seen) AS first_seen, max(last_seen) AS last_seen
        FROM {{ process }} SEMI JOIN matching USING (host, boot_id, pid, start_ticks)
        GROUP BY host, boot_id, pid, start_ticks
    )
),
chosen AS (
    SELECT * FROM lives WHERE {{ which }} {{ only }}
)
SELECT count(*) OVER () AS total, host, boot_id, pid, start_ticks, epoch_us(started_at) AS started_at_us, {{ fields::columns(fields::facts()) }},
    epoch_us(first_seen) AS first_seen_us, epoch_us(last_seen) AS last_seen_us
FROM chosen
ORDER BY {{ order }}
