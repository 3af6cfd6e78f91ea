-- The values of `summed`, in buckets.
SELECT host, facts.name AS name, facts.user_name AS user_name, facts.unit AS unit, {{ Self::bucket("at_ms") }} AS bucket,
    count(value)::BIGINT AS samples, sum(value) AS sum, min(value) AS min, max(value) AS max,
    arg_max(value, at_ms) AS last, max(at_ms)::BIGINT AS last_ms
FROM summed
WHERE value IS NOT NULL
GROUP BY host, facts, bucket
