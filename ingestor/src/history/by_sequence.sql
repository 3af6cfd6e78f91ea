SELECT host, epoch_us(captured_at) AS captured_us FROM {{ host_sample }}
WHERE stream_sequence = $1 AND has_processes
ORDER BY stored_at DESC
LIMIT 1
