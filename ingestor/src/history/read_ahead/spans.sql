-- The spans of a host's processes, between two times.
SELECT boot_id, pid, start_ticks, epoch_us(first_captured_at) AS first_captured_at_us,
    epoch_us(last_captured_at) AS last_captured_at_us, {{ fields::columns(figures.clone()) }}
FROM {{ process_span }}
WHERE host = $1 AND last_captured_at >= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
    AND first_captured_at <= make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS
{%- if let Some(condition) = condition %}
    AND {{ condition }}
{%- endif %}
{%- if let Some(relevant) = relevant %}
    AND (boot_id, pid, start_ticks) IN (
        SELECT boot_id, pid, start_ticks FROM {{ process_span }}
        WHERE host = $1 AND last_captured_at >= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
            AND first_captured_at <= make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS AND ({{ relevant }})
    )
{%- endif %}
LIMIT $4
