-- The hosts' descriptions within a span, and the ones before.
SELECT host, epoch_us(captured_at) AS at_us, column_name, value_before, value
FROM (
    SELECT *, lag(value) OVER said AS value_before, row_number() OVER said AS number
    FROM (
        UNPIVOT (
            SELECT host, captured_at, agent_version, os, kernel, architecture, cpu_model, os_host_name,
                cores::VARCHAR AS cores, threads::VARCHAR AS threads, memory_bytes::VARCHAR AS memory_bytes
            FROM {{ host_info }}
            WHERE {{ of_host }}
        )
        ON agent_version, os, kernel, architecture, cpu_model, os_host_name, cores, threads, memory_bytes
        INTO NAME column_name VALUE value
    )
    WINDOW said AS (PARTITION BY host, column_name ORDER BY captured_at)
)
WHERE number > 1 AND value <> value_before
    AND captured_at >= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
    AND captured_at < make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS
ORDER BY host, captured_at, column_name
