-- Every snapshot with processes in the sources, in the order of (host, captured_at), and whether it is kept.
-- The kept part of a span reaches from the first kept snapshot at or after its beginning to the last at or before its
-- end.
CREATE TEMP TABLE captures AS
SELECT host, captured_at, is_kept,
    row_number() OVER upwards AS number,
    dense_rank() OVER (ORDER BY host, date_trunc('hour', captured_at)) AS hour_number,
    -- How many are kept before it, and up to it.
    count(*) FILTER (is_kept) OVER upwards - if(is_kept, 1, 0) AS kept_before,
    count(*) FILTER (is_kept) OVER upwards AS kept,
    max(captured_at) FILTER (is_kept) OVER (PARTITION BY host ORDER BY captured_at) AS last_kept_at,
    min(captured_at) FILTER (is_kept) OVER (PARTITION BY host ORDER BY captured_at DESC) AS first_kept_at
FROM (
    SELECT host, captured_at, {{ is_kept }} AS is_kept
    FROM (SELECT DISTINCT host, captured_at FROM all_rows_of_capture)
)
WINDOW upwards AS (ORDER BY host, captured_at);

INSERT INTO {{ CATALOG }}.capture
SELECT host, kept_before, captured_at FROM captures WHERE is_kept ORDER BY host, captured_at;

-- Hosts of which one source has snapshots between those of another, about which the first source's spans say nothing.
CREATE TEMP TABLE interleaved AS
SELECT DISTINCT span.host
FROM process_span AS span
JOIN captures AS beginning ON beginning.host = span.host AND beginning.captured_at = span.first_captured_at
JOIN captures AS ending ON ending.host = span.host AND ending.captured_at = span.last_captured_at
WHERE ending.number - beginning.number + 1 <> span.snapshots;

-- The pace of each host, by which the times of its spans are stored: whole intervals since its first snapshot that is kept.
CREATE TEMP TABLE pace AS
SELECT host, epoch_ms(min(captured_at)::TIMESTAMP) AS captured_from_ms,
    greatest(coalesce(median(spacing_ms), 1), 1)::BIGINT AS interval_ms
FROM (
    SELECT host, captured_at,
        epoch_ms(captured_at::TIMESTAMP) - epoch_ms((lag(captured_at) OVER (PARTITION BY host ORDER BY captured_at))::TIMESTAMP)
            AS spacing_ms
    FROM captures WHERE is_kept
)
GROUP BY host;
