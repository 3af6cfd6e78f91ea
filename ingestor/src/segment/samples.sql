-- One row per process and snapshot, from spans and captures. What stayed the same only once is its own sample, and for most
-- of what changes that is so. The others are laid out by the captures that they reach over, sixteen at a time: without such
-- blocks, all of a span would be laid out where little of it is asked for.
SELECT host, boot_id, pid, start_ticks, started_at, first_captured_at AS captured_at, {{ fields::columns(fields::figures()) }}
FROM {{ spans }}
WHERE snapshots = 1
UNION ALL
SELECT span.host, boot_id, pid, start_ticks, started_at, capture.captured_at, {{ fields::columns(fields::figures()) }}
FROM (
    SELECT span.*, place.number AS first_number, place.number + snapshots - 1 AS last_number,
        unnest(range(place.number // 16, (place.number + snapshots - 1) // 16 + 1)) AS block
    FROM {{ spans }} AS span
    -- As a struct, because of a fault in DuckDB 2.0.0 (compaction/sql/hours_of_spans.sql).
    JOIN (SELECT file, host, captured_at, struct_pack(number) AS place FROM {{ captures }}) AS beginning
        ON beginning.file = span.file AND beginning.host = span.host AND beginning.captured_at = first_captured_at
    WHERE snapshots > 1
) AS span
JOIN (SELECT *, number // 16 AS block FROM {{ wanted }}) AS capture
    ON capture.file = span.file AND capture.block = span.block AND number BETWEEN first_number AND last_number
