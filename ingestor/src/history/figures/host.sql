-- A figure of hosts, gathered in buckets: a bucket has the samples after its beginning until its end. $2 is where bucket 0
-- begins and $3 how long each is; what was captured until $2 is bucket -1. $1 are the hosts, with spaces between, or NULL for
-- all; from behind $4 until $5. A pair of samples counts as of its later one; one with a silence in it does not
-- count.
WITH sample AS (
    SELECT host, epoch_ms(captured_at) AS at_ms, interval_ms, boot_id, monotonic_ms, ({{ value }})::DOUBLE AS value
    FROM {{ host_sample }}
    WHERE {{ of_hosts }} AND {{ which }}
        AND captured_at > make_timestamp_ms($4::BIGINT)::TIMESTAMP_MS
        AND captured_at <= make_timestamp_ms($5::BIGINT)::TIMESTAMP_MS
        AND ({{ value }}) IS NOT NULL
),
paired AS (
{% if is_counter %}
    SELECT *, CASE WHEN grown >= 0 AND passed_ms > 0
{% if !has_silences %}
            AND passed_ms <= {{ staleness::sql_silent_after_ms(["interval_ms", "earlier_interval_ms", spacing_ms.as_str()]) }}
{% endif %}
        THEN grown END AS growth
    FROM (
        SELECT *, value - lag(value) OVER boot AS grown, monotonic_ms - lag(monotonic_ms) OVER boot AS passed_ms,
            lag(interval_ms) OVER boot AS earlier_interval_ms
        FROM sample
        WINDOW boot AS (PARTITION BY host, boot_id ORDER BY monotonic_ms)
    )
{% else %}
    SELECT *, NULL::DOUBLE AS growth, NULL::BIGINT AS passed_ms FROM sample
{% endif %}
)
SELECT host, {{ Self::bucket("at_ms") }} AS bucket,
    count(value)::BIGINT AS samples, sum(value) AS sum, min(value) AS min, max(value) AS max,
    arg_max(value, at_ms) AS last, max(at_ms)::BIGINT AS last_ms,
    arg_max(interval_ms, at_ms)::BIGINT AS last_interval_ms, coalesce(sum(growth), 0) AS grown,
    coalesce(sum(passed_ms) FILTER (growth IS NOT NULL), 0)::DOUBLE AS elapsed_ms,
    arg_max(growth, at_ms) FILTER (growth IS NOT NULL) AS last_grown,
    (arg_max(passed_ms, at_ms) FILTER (growth IS NOT NULL))::DOUBLE AS last_elapsed_ms
FROM paired
GROUP BY host, bucket
