SELECT host, epoch_us(min(captured_at)), epoch_us(max(captured_at)),
    arg_max(interval_ms, captured_at)
FROM {{ host_sample }}
WHERE {{ which }}
GROUP BY host
