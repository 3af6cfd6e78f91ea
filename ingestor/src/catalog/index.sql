SELECT host, epoch_us(min(captured_at)) AS first_us, epoch_us(max(captured_at)) AS last_us,
    arg_max(interval_ms, captured_at) AS last_interval_ms
FROM {{ host_sample }}
WHERE {{ which }}
GROUP BY host
