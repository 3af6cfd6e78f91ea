SELECT boot_id, pid, epoch_us(started_at) AS started_at_us, {{ fields::readable(fields::facts()) }}
FROM {{ process }}
WHERE host = $1 AND last_seen >= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
    AND first_seen <= make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS
LIMIT $4
