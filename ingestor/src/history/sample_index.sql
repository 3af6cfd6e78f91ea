-- When a host was sampled, as one segment has it.
SELECT epoch_us(captured_at), monotonic_ms, boot_id, interval_ms, has_processes
FROM {{ host_sample }}
WHERE host = $1
