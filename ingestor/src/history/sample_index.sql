-- When a host was sampled, as one segment has it.
SELECT epoch_us(captured_at) AS captured_us, monotonic_ms, boot_id, interval_ms, has_processes
FROM {{ host_sample }}
WHERE host = $1
