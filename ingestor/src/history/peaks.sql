-- The greatest CPU use of every host in each minute, from $1 to $2.
SELECT host, epoch_ms(captured_at) // 60000 * 60000000 AS minute_us, max(cpu_percent) AS peak_percent
FROM {{ host_sample }}
WHERE captured_at >= make_timestamp_ms($1::BIGINT)::TIMESTAMP_MS
    AND captured_at < make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
    AND cpu_percent IS NOT NULL
GROUP BY ALL
