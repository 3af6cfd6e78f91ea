-- How much a counter of programs grew, by buckets as in `host.sql`, and in which buckets they were seen: rows of a program with
-- its first and its last bucket and what it grew by in the first.
WITH {% include "history/figures/programs.sql" %}
pair AS (
{% if is_hourly %}
    SELECT NULL::VARCHAR AS host, NULL::TIMESTAMP_MS AS seen_at WHERE false
{% else %}
    -- The snapshots that follow another one without a silence.
    SELECT host, captured_at AS seen_at
    FROM (
        SELECT host, captured_at, interval_ms, monotonic_ms - lag(monotonic_ms) OVER boot AS passed_ms,
            lag(interval_ms) OVER boot AS earlier_interval_ms
        FROM {{ host_sample }}
        WHERE {{ of_hosts }} AND has_processes
            AND captured_at > make_timestamp_ms($4::BIGINT)::TIMESTAMP_MS
            AND captured_at <= make_timestamp_ms($5::BIGINT)::TIMESTAMP_MS
        WINDOW boot AS (PARTITION BY host, boot_id ORDER BY monotonic_ms)
    )
    WHERE passed_ms > 0
        AND passed_ms <= {{ staleness::sql_silent_after_ms(["interval_ms", "earlier_interval_ms", spacing_ms.as_str()]) }}
{% endif %}
),
piece AS (
    SELECT host, boot_id, pid, start_ticks, started_at, first_captured_at AS seen_at, last_captured_at AS seen_until,
        {{ counter }}_first{{ unit }} AS first, {{ counter }}_last{{ unit }} AS last, {{ more_of_hour }} AS more
    FROM {{ process_hour }}
    WHERE {{ of_hosts }}
        AND hour >= make_timestamp_ms($4::BIGINT)::TIMESTAMP_MS AND hour < make_timestamp_ms($5::BIGINT)::TIMESTAMP_MS
    UNION ALL
    SELECT host, boot_id, pid, start_ticks, started_at, first_captured_at, last_captured_at,
        {{ counter }}{{ unit }}, {{ counter }}{{ unit }}, {{ more_of_span }}
    FROM {{ process_span }}
    WHERE {{ of_hosts }}
),
grown AS (
    SELECT host, boot_id, pid, start_ticks, seen_at, seen_until,
        last - coalesce(lag(last IGNORE NULLS) OVER life,
            if(started_at >= make_timestamp_ms($4::BIGINT), 0, first)) + coalesce(more, 0) AS growth
    FROM piece SEMI JOIN program USING (host, boot_id, pid, start_ticks)
    WINDOW life AS (PARTITION BY host, boot_id, pid, start_ticks ORDER BY seen_at)
),
named AS (
    SELECT grown.*, facts
    FROM grown JOIN (FROM program WHERE NOT has_changed) USING (host, boot_id, pid, start_ticks)
    UNION ALL
    SELECT grown.*, facts
    FROM grown ASOF JOIN change
        ON grown.host = change.host AND grown.boot_id = change.boot_id AND grown.pid = change.pid
        AND grown.start_ticks = change.start_ticks AND grown.seen_at >= change.since
),
chosen AS (
    SELECT * FROM named WHERE {{ wanted }}
),
counted AS (
    SELECT host, facts, {{ Self::bucket(self.moment_ms("seen_at")) }} AS bucket, growth
    FROM chosen {% if !is_hourly %}SEMI JOIN pair USING (host, seen_at){% endif %}
    WHERE growth > 0
)
SELECT host, facts.name, facts.user_name, facts.unit, bucket, bucket, sum(growth)::DOUBLE
FROM counted
GROUP BY host, facts, bucket
UNION ALL
SELECT DISTINCT host, facts.name, facts.user_name, facts.unit,
    {{ Self::bucket(self.moment_ms("first_at")) }}, {{ Self::bucket(self.moment_ms("last_at")) }}, 0::DOUBLE
FROM (
    SELECT host, facts, min(seen_at) AS first_at, max(seen_until) AS last_at
    FROM chosen
    GROUP BY host, boot_id, pid, start_ticks, facts
)
