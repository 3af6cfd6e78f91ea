CREATE OR REPLACE VIEW process_hour AS
SELECT host, boot_id, pid, started_at, hour,
    sum(samples)::UINTEGER AS samples,
    min(first_captured_at) AS first_captured_at,
    max(last_captured_at) AS last_captured_at,
    max(cpu_percent_max) AS cpu_percent_max,
    arg_min(cpu_time_first_ms, first_captured_at) AS cpu_time_first_ms,
    arg_max(cpu_time_last_ms, last_captured_at) AS cpu_time_last_ms,
    sum(resident_samples)::UINTEGER AS resident_samples,
    least(sum(resident_bytes_sum), 9223372036854775807)::BIGINT AS resident_bytes_sum,
    max(resident_bytes_max) AS resident_bytes_max,
    arg_min(read_bytes_first, first_captured_at) AS read_bytes_first,
    arg_max(read_bytes_last, last_captured_at) AS read_bytes_last,
    arg_min(written_bytes_first, first_captured_at) AS written_bytes_first,
    arg_max(written_bytes_last, last_captured_at) AS written_bytes_last
FROM $hours
GROUP BY host, boot_id, pid, started_at, hour;
