CREATE TABLE host_sample (
    host TEXT, boot_id TEXT, captured_ms BIGINT, cpu_percent REAL, load_1 REAL, load_5 REAL, load_15 REAL,
    memory_total_bytes BIGINT, memory_used_bytes BIGINT, swap_used_bytes BIGINT, process_count BIGINT,
    thread_count BIGINT, disk_read_bytes BIGINT, disk_written_bytes BIGINT, network_received_bytes BIGINT,
    network_sent_bytes BIGINT
);
CREATE TABLE process (
    host TEXT, boot_id TEXT, pid BIGINT, started_us BIGINT, parent_pid BIGINT, name TEXT, executable TEXT,
    command_line TEXT, user_name TEXT, unit TEXT, container TEXT
);
CREATE TABLE process_sample (
    host TEXT, boot_id TEXT, pid BIGINT, started_us BIGINT, captured_ms BIGINT, state TEXT, threads BIGINT,
    cpu_percent REAL, cpu_time_ms BIGINT, resident_bytes BIGINT, virtual_bytes BIGINT, read_bytes BIGINT,
    written_bytes BIGINT
);
