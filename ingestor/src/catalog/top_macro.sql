-- What each process used between two times (UTC): FROM top('2026-11-21', '2026-11-22') ORDER BY cpu_time_ms DESC
-- That is what its counters say between its first and its last sample there; all they say if it started there.
CREATE OR REPLACE MACRO top(from_time, to_time) AS TABLE
SELECT host, boot_id, pid, start_ticks, any_value(process.started_at) AS started_at, any_value(name) AS name, any_value(user_name) AS user_name,
    any_value(unit) AS unit,
    {{ Self::growth("cpu_first", "cpu_last") }} AS cpu_time_ms,
    max(resident_max) AS peak_resident_bytes,
    {{ Self::growth("read_first", "read_last") }} AS read_bytes,
    {{ Self::growth("written_first", "written_last") }} AS written_bytes
FROM (
    SELECT host, boot_id, pid, start_ticks, cpu_time_ms AS cpu_first, cpu_time_ms AS cpu_last,
        resident_bytes AS resident_max, read_bytes AS read_first, read_bytes AS read_last,
        written_bytes AS written_first, written_bytes AS written_last
    FROM {{ spans }}
    UNION ALL
    -- Whole hours say the same as samples, and more where samples were thinned.
    SELECT host, boot_id, pid, start_ticks, cpu_time_first_ms, cpu_time_last_ms, resident_bytes_max, read_bytes_first,
        read_bytes_last, written_bytes_first, written_bytes_last
    FROM process_hour
    WHERE hour >= from_time::TIMESTAMP_MS AND hour + INTERVAL 1 HOUR <= to_time::TIMESTAMP
) JOIN process USING (host, boot_id, pid, start_ticks)
GROUP BY host, boot_id, pid, start_ticks;
