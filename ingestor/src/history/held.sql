SELECT host, epoch_us(min(captured_at)), epoch_us(max(captured_at)),
    epoch_us(min(captured_at) FILTER (has_processes)),
    epoch_us(max(captured_at) FILTER (has_processes))
FROM $host_sample
GROUP BY host
