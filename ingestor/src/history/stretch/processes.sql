SELECT boot_id, pid, epoch_us(started_at), parent_pid, name, executable, command_line, user_name, unit, container
FROM $process
WHERE host = $1 AND last_seen >= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
    AND first_seen <= make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS
LIMIT $4
