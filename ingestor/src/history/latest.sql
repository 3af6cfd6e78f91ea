SELECT epoch_us(max(captured_at)), arg_max(interval_ms, captured_at)::BIGINT * 1000 FROM $host_sample
WHERE host = $1 AND captured_at <= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS AND ($3 OR has_processes)
