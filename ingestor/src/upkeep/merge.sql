-- Copies what there is little of from the views over the sources into the new file, in the order that queries want.
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
