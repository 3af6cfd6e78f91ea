-- The spans of a chunk over kept snapshots, in the order that packs best and that queries for one host or process want.
-- Consecutive spans with the same figures become one. Windows without an order follow the order of the rows, without
-- sorting them again.
INSERT INTO {{ CATALOG }}.process_span
WITH numbered AS (
    SELECT span.host, boot_id, pid, start_ticks, started_at,
        beginning.first_kept_at AS first_captured_at,
        ending.last_kept_at AS last_captured_at,
        beginning.kept_before + 1 AS first_number,
        ending.kept AS last_number,
        {{ fields::packed_figures() }}
    FROM source_span AS span
    JOIN captures AS beginning ON beginning.host = span.host AND beginning.captured_at = span.first_captured_at
    JOIN captures AS ending ON ending.host = span.host AND ending.captured_at = span.last_captured_at
    WHERE span.host BETWEEN ? AND ? AND pid BETWEEN ? AND ?
        AND beginning.kept_before < ending.kept
    ORDER BY span.host, pid, start_ticks, boot_id, first_captured_at
),
begun AS (
    SELECT *, NOT coalesce(
        first_number = lag(last_number) OVER () + 1
        AND host = lag(host) OVER ()
        AND pid = lag(pid) OVER ()
        AND start_ticks = lag(start_ticks) OVER ()
        AND boot_id = lag(boot_id) OVER ()
        {{ fields::same_figures() }},
        false
    ) AS begins
    FROM numbered
),
ended AS (
    SELECT *, coalesce(lead(begins) OVER (), true) AS ends FROM begun
),
-- Of each, the first and the last, which may be the same.
edges AS (
    SELECT *,
        if(ends, last_captured_at, lead(last_captured_at) OVER ()) AS ended_at,
        if(ends, last_number, lead(last_number) OVER ()) AS end_number
    FROM ended
    WHERE begins OR ends
)
SELECT host, boot_id, pid, {{ segment::sql_stored_start("started_at") }}, {{ segment::sql_stored_times("first_captured_at", "ended_at", "(end_number - first_number + 1)") }},
    end_number - first_number + 1, {{ fields::stored(fields::figures()) }}
FROM edges JOIN pace USING (host)
WHERE begins
