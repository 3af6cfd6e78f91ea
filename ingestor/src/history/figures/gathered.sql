-- The values of `summed`, in buckets.
SELECT host, facts.name, facts.user_name, facts.unit, {{ Self::bucket("at_ms") }} AS bucket,
    count(value)::BIGINT, sum(value), min(value), max(value), arg_max(value, at_ms), max(at_ms)::BIGINT
FROM summed
WHERE value IS NOT NULL
GROUP BY host, facts, bucket
