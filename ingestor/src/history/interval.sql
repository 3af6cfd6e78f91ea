SELECT any_value(interval_ms)::BIGINT * 1000 FROM $host_sample
WHERE host = $1 AND captured_at = make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
