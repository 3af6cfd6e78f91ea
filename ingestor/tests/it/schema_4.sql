-- The tables as they were in version 4, never to change.
-- One row: what this file is.
CREATE TABLE IF NOT EXISTS $catalog.segment (
    partition UINTEGER,
    stream_created TIMESTAMP,         -- when the numbering of the stream began: sequences compare within one only
    first_sequence BIGINT,
    last_sequence BIGINT,
    first_captured_at TIMESTAMP_MS,
    last_captured_at TIMESTAMP_MS,
    level VARCHAR,                    -- fresh, hour, day: every sample; minute: one a minute; rollup: sums of every hour
    "rows" BIGINT,                    -- of process_sample; in a rollup, of process_hour
    schema_version UINTEGER,
    writer VARCHAR                    -- program and version
);

-- Stream sequences that are missing: the broker dropped them before they were stored, or their host had sent too much.
CREATE TABLE IF NOT EXISTS $catalog.gap (
    partition UINTEGER,
    stream_created TIMESTAMP,
    first_sequence BIGINT,
    last_sequence BIGINT,
    noticed_at TIMESTAMP_MS,
    reason VARCHAR
);

-- What a host is: a row for the first time it is seen in a file, and one for every change.
CREATE TABLE IF NOT EXISTS $catalog.host_info (
    host VARCHAR,
    captured_at TIMESTAMP_MS,
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
    captured_at TIMESTAMP_MS,         -- by the host's clock
    stored_at TIMESTAMP_MS,           -- by the broker's clock
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
    agent_dropped_snapshots BIGINT,
    has_processes BOOLEAN             -- false where thinning removed the rows of its processes
);

CREATE TABLE IF NOT EXISTS $catalog.filesystem_sample (
    host VARCHAR,
    captured_at TIMESTAMP_MS,
    mount VARCHAR,
    device VARCHAR,
    kind VARCHAR,
    total_bytes BIGINT,
    used_bytes BIGINT
);

-- What hardly changes of a process, as last seen in this file: one row for every identity in process_span.
CREATE TABLE IF NOT EXISTS $catalog.process (
    host VARCHAR,
    boot_id VARCHAR,
    pid UINTEGER,
    started_at TIMESTAMP,
    parent_pid UINTEGER,
    name VARCHAR,
    executable VARCHAR,
    -- A machine that compiles starts thousands of long, similar ones: 1 byte instead of 7 as a dictionary.
    command_line VARCHAR USING COMPRESSION zstd,
    user_name VARCHAR,
    unit VARCHAR,
    container VARCHAR,
    first_seen TIMESTAMP_MS,
    last_seen TIMESTAMP_MS
);

-- The snapshots with processes that are in this file, numbered from 0 in the order of (host, captured_at).
CREATE TABLE IF NOT EXISTS $catalog.capture (
    host VARCHAR,
    number UINTEGER,
    captured_at TIMESTAMP_MS
);

-- One row for as long as the figures of a process stay the same: of so many of its host's snapshots, one after the other,
-- from the first to the last. Most processes sleep most of the time. Figures are kept in the units in which Linux counts
-- them, which takes fewer bytes; in which people want them is worked out when they are read. What another system counts
-- more finely is cut down to them.
CREATE TABLE IF NOT EXISTS $catalog.process_span (
    host VARCHAR,
    boot_id VARCHAR,
    pid UINTEGER,
    started_at TIMESTAMP,
    first_captured_at TIMESTAMP_MS,
    last_captured_at TIMESTAMP_MS,
    snapshots UINTEGER,
    state_code UTINYINT,              -- in ASCII
    threads UINTEGER,
    cpu_tenths UINTEGER,              -- of a percent, which is a tick in 10 s
    cpu_ticks BIGINT,                 -- of 10 ms
    resident_pages UINTEGER,          -- of 4 KiB
    virtual_pages BIGINT,
    read_sectors BIGINT,              -- of 512 bytes
    written_sectors BIGINT,
    state VARCHAR AS (chr(state_code)), -- one letter, as ps has it
    cpu_percent FLOAT AS (cpu_tenths / 10), -- of one core, over the last interval
    cpu_time_ms BIGINT AS (cpu_ticks * 10),
    resident_bytes BIGINT AS (resident_pages::BIGINT * 4096),
    virtual_bytes BIGINT AS (virtual_pages * 4096),
    read_bytes BIGINT AS (read_sectors * 512),
    written_bytes BIGINT AS (written_sectors * 512)
);

-- The same with one row per process and snapshot.
CREATE VIEW IF NOT EXISTS $catalog.process_sample AS -- One row per process and snapshot, from spans and captures. What stayed the same only once is its own sample, and for most
-- of what changes that is so. The others are laid out by the captures that they reach over, sixteen at a time: without such
-- blocks, all of a span would be laid out where little of it is asked for.
SELECT host, boot_id, pid, started_at, first_captured_at AS captured_at, state, threads, cpu_percent, cpu_time_ms,
    resident_bytes, virtual_bytes, read_bytes, written_bytes
FROM (SELECT 0 AS file, * FROM process_span)
WHERE snapshots = 1
UNION ALL
SELECT span.host, boot_id, pid, started_at, capture.captured_at, state, threads, cpu_percent, cpu_time_ms,
    resident_bytes, virtual_bytes, read_bytes, written_bytes
FROM (
    SELECT span.*, place.number AS first_number, place.number + snapshots - 1 AS last_number,
        unnest(range(place.number // 16, (place.number + snapshots - 1) // 16 + 1)) AS block
    FROM (SELECT 0 AS file, * FROM process_span) AS span
    -- As a struct, because of a fault in DuckDB 2.0.0 (upkeep/sql/hours_of_spans.sql).
    JOIN (SELECT file, host, captured_at, struct_pack(number) AS place FROM (SELECT 0 AS file, * FROM capture)) AS beginning
        ON beginning.file = span.file AND beginning.host = span.host AND beginning.captured_at = first_captured_at
    WHERE snapshots > 1
) AS span
JOIN (SELECT *, number // 16 AS block FROM (SELECT 0 AS file, * FROM capture)) AS capture
    ON capture.file = span.file AND capture.block = span.block AND number BETWEEN first_number AND last_number
;

-- One row per process and hour (of captured_at), summed up over the samples that the file was made from; empty in fresh
-- segments. Samples that lack a figure do not count for it. Counters only grow, so first and last are their smallest and
-- greatest values: what was used within the hour is the difference, between two hours that of last and first.
CREATE TABLE IF NOT EXISTS $catalog.process_hour (
    host VARCHAR,
    boot_id VARCHAR,
    pid UINTEGER,
    started_at TIMESTAMP,
    hour TIMESTAMP_MS,                -- its beginning
    samples UINTEGER,
    first_captured_at TIMESTAMP_MS,
    last_captured_at TIMESTAMP_MS,
    cpu_percent_max FLOAT,
    cpu_time_first_ms BIGINT,
    cpu_time_last_ms BIGINT,
    resident_samples UINTEGER,        -- samples with a resident set: resident_bytes_sum / resident_samples is the mean
    resident_bytes_sum BIGINT,
    resident_bytes_max BIGINT,
    read_bytes_first BIGINT,
    read_bytes_last BIGINT,
    written_bytes_first BIGINT,
    written_bytes_last BIGINT
);
