-- A level of programs, all their processes together, gathered in buckets as in `host.sql`: of every snapshot, or of the last in
-- each bucket.
WITH moments AS MATERIALIZED (
{% if is_every %}
    SELECT host, captured_at
{% else %}
    SELECT host, max(captured_at) AS captured_at
{% endif %}
    FROM {{ host_sample }}
    WHERE {{ of_hosts }} AND has_processes
        AND captured_at > make_timestamp_ms($4::BIGINT)::TIMESTAMP_MS
        AND captured_at <= make_timestamp_ms($5::BIGINT)::TIMESTAMP_MS
{% if !is_every %}
    GROUP BY host, {{ Self::bucket("epoch_ms(captured_at)") }}
{% endif %}
),
{% include "history/figures/programs.sql" %}
sample AS (
    SELECT host, boot_id, pid, start_ticks, captured_at AS seen_at, cpu_time_ms, read_bytes,
        written_bytes, resident_bytes, {{ sums::sql_shared("resident_bytes", "shared_bytes") }} AS shared_bytes
    FROM {{ samples }} SEMI JOIN program USING (host, boot_id, pid, start_ticks)
),
{% include "history/figures/named.sql" %}
summed AS (
    SELECT host, facts, epoch_ms(seen_at) AS at_ms, ({{ value }})::DOUBLE AS value
    FROM named
    WHERE {{ wanted }}
    GROUP BY host, facts, seen_at
)
{% include "history/figures/gathered.sql" %}
