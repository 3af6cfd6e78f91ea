-- The tables of a segment. People write SQL against these names and columns, so they only ever gain.
-- Every time is UTC (TIMESTAMP without zone: reading one needs no extension). When something was seen is kept to the
-- millisecond, in all tables alike; when a process or host started is part of its identity, so to the microsecond, as it
-- was reported. What could not be read on a host is NULL. The fields of hosts and processes are declared in the model, with
-- what each means and its unit.
-- Counters are as the host's system counts them; take differences for rates.

-- One row: what this file is.
CREATE TABLE IF NOT EXISTS {{ catalog }}.segment (
    partition UINTEGER,
    stream_created TIMESTAMP,         -- when the numbering of the stream began: sequences compare within one only
    first_sequence BIGINT,
    last_sequence BIGINT,
    first_captured_at TIMESTAMP_MS,
    last_captured_at TIMESTAMP_MS,
    level VARCHAR,                    -- fresh, hour, day: every sample; minute: one a minute; rollup: sums of every hour
    "rows" BIGINT,                    -- of process_sample; in a rollup, of process_hour
    schema_version UINTEGER,
    writer VARCHAR,                   -- program and version
    last_stored_at TIMESTAMP_MS,      -- when the broker took the last of its messages
    silence_from TIMESTAMP_MS         -- since when silence counted then: before, nobody was heard
);

-- What happened to processes and hosts, in the order of time. Decided from the stream, message by message.
CREATE TABLE IF NOT EXISTS {{ catalog }}.event (
    occurred_at TIMESTAMP_MS,         -- by the same clock as captured_at
    kind VARCHAR,                     -- started, exited, restart_loop, restart_loop_ended, silent, back, paused, booted, …
    host VARCHAR,
    name VARCHAR,                     -- of the process or program
    boot_id VARCHAR,                  -- boot, pid and start: the process, where it is about one
    pid UINTEGER,
    start_ticks BIGINT,
    started_at TIMESTAMP,
    command_line VARCHAR USING COMPRESSION zstd,
    user_name VARCHAR,
    unit VARCHAR,
    parent_pid UINTEGER,
    parent_name VARCHAR,              -- who started it
    supervisor VARCHAR,               -- who starts it again when it exits: a service or a parent
    instances UINTEGER,               -- how many of a supervised program there were at its start
    cpu_time_ms BIGINT,               -- exited: what it had used when it was last seen
    resident_bytes BIGINT,            -- exited: what it had then
    length_ms BIGINT,                 -- exited: how long it ran; silent, back: how long nothing came; clock_changed: by how
                                      -- much, negative backwards; clock_offset: how far ahead, negative behind; restart loops: the median life
    lives UINTEGER,                   -- restart loops: how often it was started
    since TIMESTAMP_MS,               -- restart loops: the first start
    change VARCHAR,                   -- agent_changed, host_changed, back: in words
    decided_at TIMESTAMP_MS,          -- when the broker took the message that decides it
    partition UINTEGER,               -- with the next three, its place in the stream
    stream_created TIMESTAMP,
    sequence BIGINT,
    number UINTEGER
);

-- Stream sequences that are missing: the broker dropped them before they were stored, or their host had sent too much.
CREATE TABLE IF NOT EXISTS {{ catalog }}.gap (
    partition UINTEGER,
    stream_created TIMESTAMP,
    first_sequence BIGINT,
    last_sequence BIGINT,
    noticed_at TIMESTAMP_MS,
    reason VARCHAR
);

-- What a host is: a row for the first time it is seen in a file, and one for every change.
CREATE TABLE IF NOT EXISTS {{ catalog }}.host_info (
    host VARCHAR,
    captured_at TIMESTAMP_MS,
    os_host_name VARCHAR,             -- what the machine calls itself; never its identity
    {{ fields::definitions(&host::HOST_INFO) }},
    agent_version VARCHAR
);

-- One row per snapshot.
CREATE TABLE IF NOT EXISTS {{ catalog }}.host_sample (
    host VARCHAR,
    boot_id VARCHAR,
    run_id VARCHAR,                   -- this run of the agent
    sequence BIGINT,                  -- the agent's count of its snapshots in this run
    captured_at TIMESTAMP_MS,         -- by the host's clock; by the broker's where the host's is more than 5 s off
    stored_at TIMESTAMP_MS,           -- by the broker's clock
    interval_ms UINTEGER,
    monotonic_ms BIGINT,
    {{ fields::definitions(&host::HOST) }},
    processes_left_out UINTEGER,
    texts_shortened UINTEGER,         -- processes with a text of which the middle was left out; NULL before version 7
    {{ fields::definitions(&host::AGENT) }},
    has_processes BOOLEAN,            -- false where thinning removed the rows of its processes
    stream_sequence BIGINT,           -- its place in the stream, which says what came first where clocks were set
    clock_offset_ms BIGINT            -- by how much the host's clock was ahead of the broker's, negative behind
);

CREATE TABLE IF NOT EXISTS {{ catalog }}.filesystem_sample (
    host VARCHAR,
    captured_at TIMESTAMP_MS,
    {{ fields::definitions(&filesystem::FILESYSTEM) }}
);

-- One row per network interface and snapshot, but for the many ends of containers' interfaces on some hosts.
CREATE TABLE IF NOT EXISTS {{ catalog }}.interface_sample (
    host VARCHAR,
    captured_at TIMESTAMP_MS,
    {{ fields::definitions(&interface::INTERFACE) }}
);

-- What hardly changes of a process, as last seen in this file: one row for every identity (host, boot, pid, start) in
-- process_span. A start in ticks since the boot (10 ms on Linux; where a system has none, -1 less the µs
-- since 1970) is exact and no
-- clock moves it; started_at is derived from it.
CREATE TABLE IF NOT EXISTS {{ catalog }}.process (
    host VARCHAR,
    boot_id VARCHAR,
    pid UINTEGER,
    {{ self.start() }},
    {{ fields::definitions(fields::facts()) }},
    first_seen TIMESTAMP_MS,
    last_seen TIMESTAMP_MS,
    facts_since TIMESTAMP_MS          -- since when it has been what this row says; before, see process_earlier
);

-- What a process was before: a row for as long as it stayed the same. Of those that called exec, took another user or
-- another title; most processes have none.
CREATE TABLE IF NOT EXISTS {{ catalog }}.process_earlier (
    host VARCHAR,
    boot_id VARCHAR,
    pid UINTEGER,
    {{ self.start() }},
    {{ fields::definitions(fields::facts()) }},
    facts_since TIMESTAMP_MS,
    last_seen TIMESTAMP_MS
);

-- The snapshots with processes that are in this file, numbered from 0 in the order of (host, captured_at).
CREATE TABLE IF NOT EXISTS {{ catalog }}.capture (
    host VARCHAR,
    number UINTEGER,
    captured_at TIMESTAMP_MS
);

-- One row for as long as the figures of a process stay the same, over consecutive snapshots of its host from the first
-- to the last. Most processes sleep most of the time. Figures are stored in the units in which Linux counts them, which
-- takes fewer bytes; the columns in people's units are computed when they are read. A finer count of another system is
-- cut down to them.
CREATE TABLE IF NOT EXISTS {{ catalog }}.process_span (
    host VARCHAR,
    boot_id VARCHAR,
    pid UINTEGER,
    {{ self.start() }},
    {{ self.captured() }},
    snapshots UINTEGER,
    {{ fields::definitions(fields::figures()) }}
);

-- The same with one row per process and snapshot.
CREATE VIEW IF NOT EXISTS {{ catalog }}.process_sample AS {{ Self::samples() }};

-- One row per process and hour (of captured_at), summed up over the samples that the file was made from; empty in fresh
-- segments. Samples that lack a figure do not count for it. Counters only grow, so first and last are their smallest
-- and greatest values. The use within an hour is their difference; the use between two hours is the difference between
-- one's last and the next's first.
CREATE TABLE IF NOT EXISTS {{ catalog }}.process_hour (
    host VARCHAR,
    boot_id VARCHAR,
    pid UINTEGER,
    {{ self.start() }},
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
    written_bytes_last BIGINT,
    ended_children_cpu_ms BIGINT,     -- sum: of children that ended, what no sample of them has shown
    shared_bytes_sum BIGINT           -- of resident_bytes_sum, what other processes may share
);
