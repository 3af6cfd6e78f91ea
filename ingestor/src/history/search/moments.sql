-- The moments that a search looks at: of every host that was not silent at {{ at_ms }} its last snapshot, and the one before it
-- for rates, if that is of the same boot. A host sample here has `spacing_ms`, the least time between two that are kept.
CREATE OR REPLACE TEMP TABLE moments AS
WITH latest AS (
    -- Not windows, which would sort all samples.
    SELECT host, max_by(
        {
            'boot_id': boot_id, 'captured_at': captured_at, 'monotonic_ms': monotonic_ms,
            'memory_total_bytes': memory_total_bytes,
            'processes_left_out': processes_left_out, 'texts_shortened': texts_shortened,
            'silent_after_ms': {{ staleness::sql_silent_after_ms(["interval_ms", "spacing_ms"]) }}
        },
        captured_at,
        2
    ) AS last
    FROM {{ samples }}
    WHERE has_processes AND captured_at <= make_timestamp_ms({{ at_ms }})::TIMESTAMP_MS
    GROUP BY host
),
pair AS (
    SELECT host, last[1] AS now, last[2] AS previous
    FROM latest
    WHERE {{ at_ms }} - epoch_ms(last[1].captured_at) <= last[1].silent_after_ms
)
SELECT host, now.boot_id AS boot_id, now.captured_at AS now_at, now.memory_total_bytes AS memory_total_bytes,
    now.monotonic_ms AS now_monotonic_ms,
    coalesce(now.processes_left_out, 0) AS processes_left_out, coalesce(now.texts_shortened, 0) AS texts_shortened,
    now.monotonic_ms - previous.monotonic_ms AS elapsed_ms,
    unnest(CASE WHEN previous.boot_id = now.boot_id THEN [now.captured_at, previous.captured_at] ELSE [now.captured_at] END)
        AS captured_at
FROM pair
