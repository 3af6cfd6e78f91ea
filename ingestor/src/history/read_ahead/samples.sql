SELECT epoch_us(captured_at) AS captured_at_us, boot_id, run_id, sequence, interval_ms, monotonic_ms, processes_left_out,
    texts_shortened, clock_offset_ms,
    {{ fields::readable(&host::AGENT) }}, {{ fields::readable(&host::HOST) }}
FROM {{ host_sample }}
WHERE host = $1 AND captured_at >= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
    AND captured_at <= make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS AND has_processes
