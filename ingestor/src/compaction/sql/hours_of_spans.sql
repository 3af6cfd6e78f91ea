-- Hourly sums of a chunk's processes, from their spans; a span over several hours counts in each. Counters only grow,
-- so their first and last values are the smallest and the greatest, even where the host's clock was set meanwhile.
INSERT INTO {{ CATALOG }}.process_hour
WITH hours AS (
    SELECT host, hour_number,
        date_trunc('hour', min(captured_at))::TIMESTAMP_MS AS hour,
        min(number) AS first_number, max(number) AS last_number,
        min(captured_at) AS first_captured_at, max(captured_at) AS last_captured_at
    FROM captures
    GROUP BY host, hour_number
),
-- As a struct because of a fault in DuckDB 2.0.0: what a join gives out as a dictionary, `unnest` gives out as a constant now
-- and then, which the next join takes for an internal error. Of structs it makes no dictionaries.
place AS (
    SELECT host, captured_at, struct_pack(number, hour_number) AS place FROM captures
),
span AS (
    SELECT span.*, beginning.place.number AS first_number, ending.place.number AS last_number,
        unnest(range(beginning.place.hour_number, ending.place.hour_number + 1)) AS hour_number
    FROM source_span AS span
    JOIN place AS beginning ON beginning.host = span.host AND beginning.captured_at = span.first_captured_at
    JOIN place AS ending ON ending.host = span.host AND ending.captured_at = span.last_captured_at
    WHERE span.host BETWEEN ? AND ? AND pid BETWEEN ? AND ?
),
part AS (
    SELECT span.*, hour,
        least(span.last_number, hours.last_number) - greatest(span.first_number, hours.first_number) + 1 AS samples,
        greatest(span.first_captured_at, hours.first_captured_at) AS first_at,
        least(span.last_captured_at, hours.last_captured_at) AS last_at
    FROM span JOIN hours USING (host, hour_number)
),
-- A process that became another one in an hour has a row of that hour for each.
phased AS (
    {% if has_changes %}
    SELECT part.*, NULL::TIMESTAMP_MS AS since FROM part ANTI JOIN change USING (host, boot_id, pid, start_ticks)
    UNION ALL
    SELECT part.*, change.since
    FROM (FROM part SEMI JOIN change USING (host, boot_id, pid, start_ticks)) AS part
    ASOF LEFT JOIN change
        ON part.host = change.host AND part.boot_id = change.boot_id AND part.pid = change.pid
        AND part.start_ticks = change.start_ticks AND part.first_at >= change.since
    {% else %}
    SELECT *, NULL::TIMESTAMP_MS AS since FROM part
    {% endif %}
)
SELECT host, boot_id, pid, {{ segment::sql_stored_start("max(started_at)") }}, hour,
    sum(samples),
    min(first_at),
    max(last_at),
    max(cpu_percent),
    min(cpu_time_ms),
    max(cpu_time_ms),
    sum(if(resident_bytes IS NULL, 0, samples)),
    CASE WHEN count(resident_bytes) > 0
        THEN least(sum(resident_bytes::HUGEINT * samples), 9223372036854775807)::BIGINT END,
    max(resident_bytes),
    min(read_bytes),
    max(read_bytes),
    min(written_bytes),
    max(written_bytes),
    CASE WHEN count(ended_children_cpu_ms) > 0
        THEN least(sum(ended_children_cpu_ms::HUGEINT * samples), 9223372036854775807)::BIGINT END,
    CASE WHEN count({{ Self::shared() }}) > 0
        THEN least(sum(({{ Self::shared() }})::HUGEINT * samples), 9223372036854775807)::BIGINT END
FROM phased
GROUP BY host, boot_id, pid, start_ticks, hour, since
ORDER BY host, pid, start_ticks, hour, since NULLS FIRST
