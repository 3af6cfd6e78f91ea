-- The tables as they were in version 10, never to change; as DuckDB says them.

CREATE TABLE IF NOT EXISTS $catalog.capture(host VARCHAR, number UINTEGER, captured_at TIMESTAMP_MS);

CREATE TABLE IF NOT EXISTS $catalog."event"(occurred_at TIMESTAMP_MS, kind VARCHAR, host VARCHAR, "name" VARCHAR,
    boot_id VARCHAR, pid UINTEGER, start_ticks BIGINT, started_at TIMESTAMP, command_line VARCHAR, user_name VARCHAR,
    unit VARCHAR, parent_pid UINTEGER, parent_name VARCHAR, supervisor VARCHAR, instances UINTEGER, cpu_time_ms BIGINT,
    resident_bytes BIGINT, length_ms BIGINT, lives UINTEGER, since TIMESTAMP_MS, change VARCHAR, decided_at
    TIMESTAMP_MS, "partition" UINTEGER, stream_created TIMESTAMP, "sequence" BIGINT, number UINTEGER);

CREATE TABLE IF NOT EXISTS $catalog.filesystem_sample(host VARCHAR, captured_at TIMESTAMP_MS, mount VARCHAR, device
    VARCHAR, kind VARCHAR, total_bytes BIGINT, used_bytes BIGINT, available_bytes BIGINT, inodes_total BIGINT,
    inodes_used BIGINT, other_mounts VARCHAR, other_mount_count UINTEGER, unanswered_since TIMESTAMP, answered_at
    TIMESTAMP, last_total_bytes BIGINT, last_used_bytes BIGINT, "error" VARCHAR);

CREATE TABLE IF NOT EXISTS $catalog.gap("partition" UINTEGER, stream_created TIMESTAMP, first_sequence BIGINT,
    last_sequence BIGINT, noticed_at TIMESTAMP_MS, reason VARCHAR);

CREATE TABLE IF NOT EXISTS $catalog.host_info(host VARCHAR, captured_at TIMESTAMP_MS, os_host_name VARCHAR, os VARCHAR,
    kernel VARCHAR, architecture VARCHAR, cpu_model VARCHAR, cores UINTEGER, threads UINTEGER, frequency_mhz BIGINT,
    memory_bytes BIGINT, boot_at TIMESTAMP, limited_view VARCHAR, seen_from VARCHAR, "source" VARCHAR, paused BOOLEAN,
    agent_version VARCHAR);

CREATE TABLE IF NOT EXISTS $catalog.host_sample(host VARCHAR, boot_id VARCHAR, run_id VARCHAR, "sequence" BIGINT,
    captured_at TIMESTAMP_MS, stored_at TIMESTAMP_MS, interval_ms UINTEGER, monotonic_ms BIGINT, cpu_percent FLOAT,
    load_1 FLOAT, load_5 FLOAT, load_15 FLOAT, memory_total_bytes BIGINT, memory_used_bytes BIGINT,
    memory_available_bytes BIGINT, swap_total_bytes BIGINT, swap_used_bytes BIGINT, disk_read_bytes BIGINT,
    disk_written_bytes BIGINT, network_received_bytes BIGINT, network_sent_bytes BIGINT, process_count UINTEGER,
    thread_count UINTEGER, uptime_s BIGINT, cpu_time_ms BIGINT, cpu_idle_ms BIGINT, cpu_iowait_ms BIGINT,
    interface_count UINTEGER, oom_kills BIGINT, processes_left_out UINTEGER, texts_shortened UINTEGER, agent_cpu_time_ms
    BIGINT, agent_resident_bytes BIGINT, agent_pass_us BIGINT, agent_dropped_snapshots BIGINT, has_processes BOOLEAN,
    stream_sequence BIGINT, clock_offset_ms BIGINT);

CREATE TABLE IF NOT EXISTS $catalog.interface_sample(host VARCHAR, captured_at TIMESTAMP_MS, "name" VARCHAR, kind
    VARCHAR, counted_as VARCHAR, master VARCHAR, received_bytes BIGINT, sent_bytes BIGINT, received_packets BIGINT,
    sent_packets BIGINT, received_errors BIGINT, sent_errors BIGINT, received_drops BIGINT, sent_drops BIGINT);

CREATE TABLE IF NOT EXISTS $catalog.process(host VARCHAR, boot_id VARCHAR, pid UINTEGER, start_ticks BIGINT, started_at
    TIMESTAMP, parent_pid UINTEGER, "name" VARCHAR, executable VARCHAR, command_line VARCHAR USING COMPRESSION ZSTD,
    user_name VARCHAR, unit VARCHAR, container VARCHAR, pod VARCHAR, executable_deleted BOOLEAN, first_seen
    TIMESTAMP_MS, last_seen TIMESTAMP_MS, facts_since TIMESTAMP_MS);

CREATE TABLE IF NOT EXISTS $catalog.process_earlier(host VARCHAR, boot_id VARCHAR, pid UINTEGER, start_ticks BIGINT,
    started_at TIMESTAMP, parent_pid UINTEGER, "name" VARCHAR, executable VARCHAR, command_line VARCHAR USING
    COMPRESSION ZSTD, user_name VARCHAR, unit VARCHAR, container VARCHAR, pod VARCHAR, executable_deleted BOOLEAN,
    facts_since TIMESTAMP_MS, last_seen TIMESTAMP_MS);

CREATE TABLE IF NOT EXISTS $catalog.process_hour(host VARCHAR, boot_id VARCHAR, pid UINTEGER, start_ticks BIGINT,
    started_at TIMESTAMP, "hour" TIMESTAMP_MS, samples UINTEGER, first_captured_at TIMESTAMP_MS, last_captured_at
    TIMESTAMP_MS, cpu_percent_max FLOAT, cpu_time_first_ms BIGINT, cpu_time_last_ms BIGINT, resident_samples UINTEGER,
    resident_bytes_sum BIGINT, resident_bytes_max BIGINT, read_bytes_first BIGINT, read_bytes_last BIGINT,
    written_bytes_first BIGINT, written_bytes_last BIGINT, ended_children_cpu_ms BIGINT, shared_bytes_sum BIGINT);

CREATE TABLE IF NOT EXISTS $catalog.process_span(host VARCHAR, boot_id VARCHAR, pid UINTEGER, start_ticks BIGINT,
    started_at TIMESTAMP, first_captured_at TIMESTAMP_MS, last_captured_at TIMESTAMP_MS, snapshots UINTEGER, state_code
    UTINYINT, threads UINTEGER, cpu_tenths UINTEGER, cpu_ticks BIGINT, resident_pages UINTEGER, virtual_pages BIGINT,
    read_sectors BIGINT, written_sectors BIGINT, nice TINYINT, switch_hundreds BIGINT, open_files UINTEGER,
    ended_children_ticks UINTEGER, shared_mib UINTEGER, sent_memory_tenths UINTEGER, state VARCHAR GENERATED ALWAYS
    AS(chr(state_code)), cpu_percent FLOAT GENERATED ALWAYS AS((cpu_tenths / 10)), cpu_time_ms BIGINT GENERATED ALWAYS
    AS((CAST(cpu_ticks AS BIGINT) * 10)), resident_bytes BIGINT GENERATED ALWAYS AS((CAST(resident_pages AS BIGINT) *
    4096)), virtual_bytes BIGINT GENERATED ALWAYS AS((CAST(virtual_pages AS BIGINT) * 4096)), read_bytes BIGINT
    GENERATED ALWAYS AS((CAST(read_sectors AS BIGINT) * 512)), written_bytes BIGINT GENERATED ALWAYS
    AS((CAST(written_sectors AS BIGINT) * 512)), voluntary_switches BIGINT GENERATED ALWAYS AS((CAST(switch_hundreds AS
    BIGINT) * 100)), ended_children_cpu_ms BIGINT GENERATED ALWAYS AS((CAST(ended_children_ticks AS BIGINT) * 10)),
    shared_bytes BIGINT GENERATED ALWAYS AS((CAST(shared_mib AS BIGINT) * 1048576)), sent_memory_percent FLOAT GENERATED
    ALWAYS AS((sent_memory_tenths / 10)));

CREATE TABLE IF NOT EXISTS $catalog.segment("partition" UINTEGER, stream_created TIMESTAMP, first_sequence BIGINT,
    last_sequence BIGINT, first_captured_at TIMESTAMP_MS, last_captured_at TIMESTAMP_MS, "level" VARCHAR, "rows" BIGINT,
    schema_version UINTEGER, writer VARCHAR, last_stored_at TIMESTAMP_MS, silence_from TIMESTAMP_MS);
