-- The tables of a segment. People write SQL against these names and columns, so they only ever gain.
-- Every time is UTC (TIMESTAMP without zone: reading one needs no extension). What could not be read on a host is NULL.
-- Counters are as the host's system counts them; take differences for rates. `$catalog` is the attached file.

-- One row: what this file is.
CREATE TABLE IF NOT EXISTS $catalog.segment (
    partition UINTEGER,
    stream_created TIMESTAMP,         -- when the numbering of the stream began: sequences compare within one only
    first_sequence BIGINT,
    last_sequence BIGINT,
    first_captured_at TIMESTAMP,
    last_captured_at TIMESTAMP,
    level VARCHAR,                    -- fresh, hour, day
    "rows" BIGINT,                    -- of process_sample
    schema_version UINTEGER,
    writer VARCHAR                    -- program and version
);

-- Stream sequences that the broker dropped before they were stored.
CREATE TABLE IF NOT EXISTS $catalog.gap (
    partition UINTEGER,
    stream_created TIMESTAMP,
    first_sequence BIGINT,
    last_sequence BIGINT,
    noticed_at TIMESTAMP,
    reason VARCHAR
);

-- What a host is: a row for the first time it is seen in a file, and one for every change.
CREATE TABLE IF NOT EXISTS $catalog.host_info (
    host VARCHAR,
    captured_at TIMESTAMP,
    os_host_name VARCHAR,             -- what the machine calls itself; never its identity
    os VARCHAR,
    kernel VARCHAR,
    architecture VARCHAR,
    cpu_model VARCHAR,
    cores UINTEGER,
    threads UINTEGER,
    frequency_mhz BIGINT,
    memory_bytes BIGINT,
    boot_at TIMESTAMP,
    agent_version VARCHAR
);

-- One row per snapshot.
CREATE TABLE IF NOT EXISTS $catalog.host_sample (
    host VARCHAR,
    boot_id VARCHAR,
    run_id VARCHAR,                   -- this run of the agent
    sequence BIGINT,                  -- the agent's count of its snapshots in this run
    captured_at TIMESTAMP,            -- by the host's clock
    stored_at TIMESTAMP,              -- by the broker's clock
    interval_ms UINTEGER,
    monotonic_ms BIGINT,
    cpu_percent FLOAT,                -- of all cores together
    load_1 FLOAT,
    load_5 FLOAT,
    load_15 FLOAT,
    memory_total_bytes BIGINT,
    memory_used_bytes BIGINT,
    memory_available_bytes BIGINT,
    swap_total_bytes BIGINT,
    swap_used_bytes BIGINT,
    disk_read_bytes BIGINT,
    disk_written_bytes BIGINT,
    network_received_bytes BIGINT,
    network_sent_bytes BIGINT,
    process_count UINTEGER,
    thread_count UINTEGER,
    uptime_s BIGINT,
    processes_left_out UINTEGER,
    agent_cpu_time_ms BIGINT,
    agent_resident_bytes BIGINT,
    agent_pass_us BIGINT,
    agent_dropped_snapshots BIGINT
);

CREATE TABLE IF NOT EXISTS $catalog.filesystem_sample (
    host VARCHAR,
    captured_at TIMESTAMP,
    mount VARCHAR,
    device VARCHAR,
    kind VARCHAR,
    total_bytes BIGINT,
    used_bytes BIGINT
);

-- What hardly changes of a process, as last seen in this file: one row for every identity in process_sample.
CREATE TABLE IF NOT EXISTS $catalog.process (
    host VARCHAR,
    boot_id VARCHAR,
    pid UINTEGER,
    started_at TIMESTAMP,
    parent_pid UINTEGER,
    name VARCHAR,
    executable VARCHAR,
    command_line VARCHAR,
    user_name VARCHAR,
    unit VARCHAR,
    container VARCHAR,
    first_seen TIMESTAMP,
    last_seen TIMESTAMP
);

-- One row per process and snapshot.
CREATE TABLE IF NOT EXISTS $catalog.process_sample (
    host VARCHAR,
    boot_id VARCHAR,
    pid UINTEGER,
    started_at TIMESTAMP,
    captured_at TIMESTAMP,
    state VARCHAR,                    -- one letter, as ps has it
    threads UINTEGER,
    cpu_percent FLOAT,                -- of one core, over the last interval
    cpu_time_ms BIGINT,
    resident_bytes BIGINT,
    virtual_bytes BIGINT,
    read_bytes BIGINT,
    written_bytes BIGINT
);
