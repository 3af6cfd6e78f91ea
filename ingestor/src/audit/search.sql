-- An entry that the broker has and a segment as well is shown once: both have its hash.
SELECT {{ COLUMNS }}, count(*) OVER ()::UBIGINT AS total
FROM (SELECT DISTINCT ON (hash, sequence) * FROM audit)
WHERE occurred_at >= make_timestamp($1::BIGINT) AND occurred_at < make_timestamp($2::BIGINT)
    AND ($3::VARCHAR IS NULL OR contains(lower(who), lower($3)))
    AND ($4::VARCHAR IS NULL OR action = $4 OR starts_with(action, $4 || '.'))
    AND ($5::VARCHAR IS NULL OR host = $5)
ORDER BY occurred_at DESC, sequence DESC
LIMIT $6
