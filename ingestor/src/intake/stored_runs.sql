-- The stored sequences of each run. Of a host that invents runs, only the time of the last one, because the runs of one
-- host may not fit into memory. The estimate is off by a few percent.
WITH stored AS (
    SELECT host, run_id, sequence, stored_at FROM {{ host_sample }} WHERE run_id IS NOT NULL AND stored_at IS NOT NULL
), making_up AS (
    SELECT host FROM stored GROUP BY host HAVING approx_count_distinct(run_id) > 1000
)
SELECT host, run_id, max(sequence) AS last_sequence, epoch_us(max(stored_at)) AS stored_at_us
FROM stored ANTI JOIN making_up USING (host)
GROUP BY host, run_id
UNION ALL
SELECT host, NULL, 0, epoch_us(max(stored_at))
FROM stored SEMI JOIN making_up USING (host)
GROUP BY host
