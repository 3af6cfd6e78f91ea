-- The last snapshot of each host in a segment, in the order of the stream, and what the host was then.
WITH last AS (
    SELECT host, boot_id, run_id, captured_at, epoch_ms(stored_at) AS stored_ms, monotonic_ms, interval_ms,
        processes_left_out, clock_offset_ms
    FROM {{ host_sample }}
    QUALIFY row_number() OVER (
        PARTITION BY host ORDER BY stream_sequence DESC NULLS LAST, stored_at DESC, captured_at DESC
    ) = 1
)
SELECT last.host, boot_id, run_id, epoch_ms(last.captured_at) AS captured_ms, stored_ms, monotonic_ms, interval_ms,
    processes_left_out, clock_offset_ms, os_host_name, agent_version, {{ fields::readable(&host::HOST_INFO) }}
FROM last
LEFT JOIN {{ host_info }} AS info ON last.host = info.host
-- What was said last before; where the clock was set back, what was said next.
QUALIFY row_number() OVER (
    PARTITION BY last.host
    ORDER BY info.captured_at <= last.captured_at DESC, abs(epoch_ms(info.captured_at) - epoch_ms(last.captured_at))
) = 1
