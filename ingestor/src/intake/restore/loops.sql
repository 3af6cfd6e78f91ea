-- The restart loops that did not end and began before $1 (ms since 1970 UTC), and how often each was started until now.
WITH said AS (
    SELECT *
    FROM {{ event }}
    WHERE kind IN ('restart_loop', 'restart_loop_ended')
    QUALIFY row_number() OVER (
        PARTITION BY host, supervisor, name, command_line
        ORDER BY partition DESC, stream_created DESC, sequence DESC, number DESC
    ) = 1
),
begun AS (
    SELECT * FROM said WHERE kind = 'restart_loop' AND decided_at < make_timestamp_ms($1::BIGINT)::TIMESTAMP_MS
),
starts AS (
    SELECT begun.partition, begun.stream_created, begun.sequence, begun.number, count(*) AS count
    FROM {{ event }} AS started
    JOIN begun ON started.host = begun.host AND started.supervisor = begun.supervisor AND started.name = begun.name
        AND (begun.command_line IS NULL OR started.command_line = begun.command_line)
    WHERE started.kind = 'started' AND started.partition = begun.partition
        AND (started.stream_created, started.sequence, started.number)
            > (begun.stream_created, begun.sequence, begun.number)
    GROUP BY ALL
)
SELECT {{ crate::stored_events::COLUMNS }}, (lives + coalesce(count, 0))::UINTEGER AS starts
FROM begun
LEFT JOIN starts USING (partition, stream_created, sequence, number)
