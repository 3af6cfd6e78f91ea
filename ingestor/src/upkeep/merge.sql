-- Copies everything from the views over the sources into the new file, in the order that packs best and that queries
-- for one host or process want.
INSERT INTO $catalog.gap SELECT * FROM gap ORDER BY first_sequence;

-- The first of each host, and every change.
INSERT INTO $catalog.host_info
SELECT * EXCLUDE (facts)
FROM (
    SELECT *, row(os_host_name, os, kernel, architecture, cpu_model, cores, threads, frequency_mhz, memory_bytes,
        boot_at, agent_version) AS facts
    FROM host_info
)
QUALIFY lag(facts) OVER (PARTITION BY host ORDER BY captured_at) IS DISTINCT FROM facts
ORDER BY host, captured_at;

INSERT INTO $catalog.host_sample SELECT * FROM host_sample ORDER BY host, captured_at;

INSERT INTO $catalog.filesystem_sample SELECT * FROM filesystem_sample ORDER BY host, captured_at, mount;

-- One row for each process, as it was seen last. A window and not arg_max as in the view: it sorts, so it can spill.
INSERT INTO $catalog.process
SELECT * REPLACE (min(first_seen) OVER (PARTITION BY host, boot_id, pid, started_at) AS first_seen)
FROM ($processes)
QUALIFY row_number() OVER (PARTITION BY host, boot_id, pid, started_at ORDER BY last_seen DESC) = 1
ORDER BY host, pid, started_at;

INSERT INTO $catalog.process_sample SELECT * FROM process_sample ORDER BY host, pid, started_at, captured_at;
