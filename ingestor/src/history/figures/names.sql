-- The programs that there were from behind $2 until $3, both in ms. $1 are the hosts, as in `host.sql`.
WITH {% include "history/figures/programs.sql" %}
seen AS (
    SELECT host, facts
    FROM fact
    WHERE facts_since <= make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS AND last_seen > make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
)
SELECT DISTINCT host, facts.name AS name, facts.user_name AS user_name, facts.unit AS unit
FROM seen
WHERE {{ wanted }}
