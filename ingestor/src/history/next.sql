SELECT epoch_us(min(captured_at)) FROM $host_sample
WHERE host = $1 AND captured_at > make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS AND ($3 OR has_processes)
