-- Processes as they were at `moments`, with what a filter may ask for.
WITH sampled AS (
{% if has_rates %}
    SELECT * EXCLUDE (started_at),
        {{ Self::growths() }}
    FROM {{ process_sample }} JOIN moments USING (host, boot_id, captured_at)
    WINDOW life AS (PARTITION BY host, boot_id, pid, start_ticks ORDER BY captured_at)
    QUALIFY captured_at = now_at
{% else %}
    SELECT * EXCLUDE (started_at) FROM {{ process_sample }} JOIN moments USING (host, boot_id, captured_at)
    WHERE captured_at = now_at
{% endif %}
),
-- Each segment with a process says what it was from one time to another.
known AS (
    SELECT DISTINCT ON (host, boot_id, pid, start_ticks) * EXCLUDE (seen_at)
    FROM {{ process_history }}
    JOIN (SELECT DISTINCT host, now_at AS seen_at FROM moments) USING (host)
    WHERE last_seen >= {{ first }} AND first_seen <= {{ last }}
    ORDER BY seen_at BETWEEN facts_since AND last_seen DESC, last_seen DESC
),
found AS (
    SELECT *,
        {{ derived::sql_memory_percent("resident_bytes", "memory_total_bytes") }} AS memory_percent,
        {% if has_rates %}{{ Self::rates_of_growths() }},{% endif %}
        {{ derived::sql_age_s("now_monotonic_ms", "start_ticks", "captured_at", "started_at") }} AS age_s
    FROM sampled JOIN known USING (host, boot_id, pid, start_ticks)
)
