-- How much a counter of programs grew, by buckets as in `host.sql`, and in which buckets they were seen: rows of a program with
-- its first and its last bucket and what it grew by in the first.
WITH {% include "history/figures/programs.sql" %}
pair AS (
{% if is_hourly %}
    -- Every snapshot: what hours lack does not matter to their sums.
    SELECT host, boot_id, captured_at AS earlier_at
    FROM {{ host_sample }}
    WHERE {{ of_hosts }}
        AND captured_at > make_timestamp_ms($4::BIGINT)::TIMESTAMP_MS
        AND captured_at <= make_timestamp_ms($5::BIGINT)::TIMESTAMP_MS
{% else %}
    -- The snapshots that follow another one without a silence, with the time of that.
    SELECT host, boot_id, captured_at AS seen_at, earlier_at
    FROM (
        SELECT host, boot_id, captured_at, interval_ms, monotonic_ms - lag(monotonic_ms) OVER boot AS passed_ms,
            lag(interval_ms) OVER boot AS earlier_interval_ms, lag(captured_at) OVER boot AS earlier_at
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
sample AS (
    SELECT host, boot_id, pid, start_ticks, started_at, seen_at, seen_until, first, last, coalesce(more, 0) AS more,
        lag(last IGNORE NULLS) OVER life AS before
    FROM piece SEMI JOIN program USING (host, boot_id, pid, start_ticks)
    WINDOW life AS (PARTITION BY host, boot_id, pid, start_ticks ORDER BY seen_at)
),
{% include "history/figures/named.sql" %}
chosen AS (
    SELECT * FROM named WHERE {{ wanted }}
),
-- What a process had used before it was first seen counts where it started after the snapshot before.
counted AS (
{% if is_hourly %}
    SELECT host, facts, {{ Self::bucket(self.moment_ms("seen_at")) }} AS bucket, last - before + more AS growth
    FROM chosen
    WHERE before IS NOT NULL
    UNION ALL
    SELECT chosen.host, facts, {{ Self::bucket(self.moment_ms("seen_at")) }},
        last - if(started_at >= earlier_at, 0, first) + more
    FROM (FROM chosen WHERE before IS NULL) AS chosen ASOF LEFT JOIN pair
        ON chosen.host = pair.host AND chosen.boot_id = pair.boot_id AND chosen.seen_at > pair.earlier_at
{% else %}
    SELECT host, facts, {{ Self::bucket(self.moment_ms("seen_at")) }} AS bucket,
        last - coalesce(before, if(started_at >= earlier_at, 0, first)) + more AS growth
    FROM chosen JOIN pair USING (host, boot_id, seen_at)
    UNION ALL
    -- What ended children had used is told by each snapshot anew.
    SELECT chosen.host, facts, {{ Self::bucket(self.moment_ms("pair.seen_at")) }}, more
    FROM chosen JOIN pair
        ON chosen.host = pair.host AND chosen.boot_id = pair.boot_id
        AND pair.seen_at > chosen.seen_at AND pair.seen_at <= chosen.seen_until
    WHERE more > 0 AND chosen.seen_at < chosen.seen_until
{% endif %}
)
SELECT host, facts.name AS name, facts.user_name AS user_name, facts.unit AS unit,
    bucket AS first_bucket, bucket AS last_bucket, sum(growth)::DOUBLE AS grown
FROM counted
WHERE growth > 0
GROUP BY host, facts, bucket
UNION ALL
SELECT DISTINCT host, facts.name, facts.user_name, facts.unit,
    {{ Self::bucket(self.moment_ms("first_at")) }}, {{ Self::bucket(self.moment_ms("last_at")) }}, 0::DOUBLE
FROM (
    SELECT host, facts, min(seen_at) AS first_at, max(seen_until) AS last_at
    FROM chosen
    GROUP BY host, boot_id, pid, start_ticks, facts
)
