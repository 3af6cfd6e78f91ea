-- What is shown of the processes in `matched`.
{{ found }}
SELECT host, boot_id, epoch_us(captured_at) AS captured_at_us,
    round(age_s * 1e6)::BIGINT AS age_us, {{ fields::readable(&PROCESS) }}, memory_total_bytes, {{ Self::rates() }}
FROM found
ORDER BY {{ order }}
