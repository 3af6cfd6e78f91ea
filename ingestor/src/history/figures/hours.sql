-- The mean of a level of programs in each hour, all their processes together, by the sums of hours; buckets as in `host.sql`.
WITH {% include "history/figures/programs.sql" %}
hours AS (
    SELECT host, boot_id, pid, start_ticks, hour, first_captured_at AS seen_at, samples, resident_samples,
        resident_bytes_sum,
        {{ sums::sql_shared("resident_bytes_sum", "shared_bytes_sum") }} AS shared_bytes_sum
    FROM {{ process_hour }}
    WHERE {{ of_hosts }}
        AND hour >= make_timestamp_ms($4::BIGINT)::TIMESTAMP_MS AND hour < make_timestamp_ms($5::BIGINT)::TIMESTAMP_MS
),
-- The snapshots in an hour. Rolling up leaves one a minute; there it is as many as the longest process was in, if those are more:
-- it has a row in each file with a part of the hour. Those of two boots follow each other.
kept AS (
    SELECT host, date_trunc('hour', captured_at)::TIMESTAMP_MS AS hour, count(*) AS snapshots
    FROM {{ host_sample }}
    WHERE {{ of_hosts }}
        AND captured_at >= make_timestamp_ms($4::BIGINT)::TIMESTAMP_MS
        AND captured_at < make_timestamp_ms($5::BIGINT)::TIMESTAMP_MS
    GROUP BY ALL
),
longest AS (
    SELECT host, hour, sum(snapshots) AS snapshots
    FROM (
        SELECT host, boot_id, hour, max(samples) AS snapshots
        FROM (SELECT host, boot_id, hour, sum(samples) AS samples FROM hours GROUP BY host, boot_id, pid, start_ticks, hour)
        GROUP BY host, boot_id, hour
    )
    GROUP BY host, hour
),
covered AS (
    SELECT host, hour, greatest(longest.snapshots, coalesce(kept.snapshots, 0)) AS snapshots
    FROM longest LEFT JOIN kept USING (host, hour)
),
sample AS (
    FROM hours SEMI JOIN program USING (host, boot_id, pid, start_ticks)
),
{% include "history/figures/named.sql" %}
lived AS (
    SELECT host, facts, hour, sum(samples) AS samples, sum(resident_bytes_sum) AS resident_bytes_sum,
        sum(shared_bytes_sum) AS shared_bytes_sum
    FROM named
    WHERE {{ wanted }}
    GROUP BY host, boot_id, pid, start_ticks, facts, hour
),
summed AS (
    SELECT host, facts, epoch_ms(hour) + 1 AS at_ms, ({{ value }})::DOUBLE / any_value(snapshots) AS value
    FROM lived JOIN covered USING (host, hour)
    GROUP BY host, facts, hour
)
{% include "history/figures/gathered.sql" %}
