-- What every form of a segment keeps, from the views over the sources.
INSERT INTO {{ CATALOG }}.gap SELECT * FROM gap ORDER BY first_sequence;

-- Small, and asked for by time.
INSERT INTO {{ CATALOG }}.event SELECT * FROM event ORDER BY occurred_at, partition, stream_created, sequence, number;

-- The first of each host, and every change.
INSERT INTO {{ CATALOG }}.host_info
SELECT * EXCLUDE (facts)
FROM (
    SELECT *, row(os_host_name, {{ fields::columns(&host::HOST_INFO) }}, agent_version) AS facts
    FROM host_info
)
QUALIFY lag(facts) OVER (PARTITION BY host ORDER BY captured_at) IS DISTINCT FROM facts
ORDER BY host, captured_at;
