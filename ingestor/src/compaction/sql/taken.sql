-- How many rows each host has, those with most first. A process is written with its texts, so it counts for several rows.
SELECT host, sum(rows)::UBIGINT AS rows
FROM (
    SELECT host, count(*) AS rows FROM {{ span }} GROUP BY host
    UNION ALL SELECT host, count(*) FROM {{ hour }} GROUP BY host
    UNION ALL SELECT host, 8 * count(*) FROM {{ process }} GROUP BY host
    UNION ALL SELECT host, count(*) FROM {{ sample }} GROUP BY host
)
GROUP BY host
ORDER BY rows DESC, host
