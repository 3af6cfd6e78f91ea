SELECT boot_id, pid, start_ticks, epoch_us(started_at) AS started_at_us, epoch_us(facts_since) AS facts_since_us,
    {{ fields::readable(facts.clone()) }}
FROM {{ process_history }}
WHERE host = $1 AND last_seen >= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
    AND first_seen <= make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS
LIMIT $4
