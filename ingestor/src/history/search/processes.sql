-- Processes as they were at `moments`, with what a filter may ask for.
WITH sampled AS (
    SELECT *,
        {{ Self::growths() }}
    FROM {{ process_sample }} JOIN moments USING (host, boot_id, captured_at)
    WINDOW life AS (PARTITION BY host, boot_id, pid, started_at ORDER BY captured_at)
    QUALIFY captured_at = now_at
),
-- Each segment with a process says what it is.
known AS (
    SELECT DISTINCT ON (host, boot_id, pid, started_at) *
    FROM {{ process }}
    WHERE last_seen >= {{ first }} AND first_seen <= {{ last }}
    ORDER BY last_seen DESC
),
found AS (
    SELECT *,
        {{ derived::sql_memory_percent("resident_bytes", "memory_total_bytes") }} AS memory_percent,
        {{ Self::rates_of_growths() }},
        {{ derived::sql_age_s("captured_at", "started_at") }} AS age_s
    FROM sampled JOIN known USING (host, boot_id, pid, started_at)
)
SELECT count(*) OVER () AS total, host, boot_id, epoch_us(captured_at) AS captured_at_us, {{ fields::readable(&PROCESS) }}, memory_total_bytes, {{ Self::rates() }}
FROM found
WHERE {{ condition }}
ORDER BY host, pid, started_at
LIMIT {{ limit }}
