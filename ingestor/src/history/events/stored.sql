-- The newest events.
SELECT {{ crate::stored_events::COLUMNS }}
FROM {{ event }}
WHERE {{ condition }}
ORDER BY occurred_at DESC, partition DESC, stream_created DESC, sequence DESC, number DESC
LIMIT {{ limit }}
