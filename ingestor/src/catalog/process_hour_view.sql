CREATE OR REPLACE VIEW process_hour AS
SELECT host, boot_id, pid, start_ticks, max(started_at) AS started_at, hour,
    sum(samples)::UINTEGER AS samples,
    min(first_captured_at) AS first_captured_at,
    max(last_captured_at) AS last_captured_at,
    max(cpu_percent_max) AS cpu_percent_max,
    min(cpu_time_first_ms) AS cpu_time_first_ms,
    max(cpu_time_last_ms) AS cpu_time_last_ms,
    sum(resident_samples)::UINTEGER AS resident_samples,
    CASE WHEN sum(resident_samples) > 0 THEN least(sum(resident_bytes_sum), 9223372036854775807)::BIGINT
    END AS resident_bytes_sum,
    max(resident_bytes_max) AS resident_bytes_max,
    min(read_bytes_first) AS read_bytes_first,
    max(read_bytes_last) AS read_bytes_last,
    min(written_bytes_first) AS written_bytes_first,
    max(written_bytes_last) AS written_bytes_last,
    CASE WHEN count(ended_children_cpu_ms) > 0
        THEN least(sum(ended_children_cpu_ms), 9223372036854775807)::BIGINT END AS ended_children_cpu_ms,
    CASE WHEN count(shared_bytes_sum) > 0
        THEN least(sum(shared_bytes_sum), 9223372036854775807)::BIGINT END AS shared_bytes_sum
FROM {{ hours }}
GROUP BY host, boot_id, pid, start_ticks, hour;
