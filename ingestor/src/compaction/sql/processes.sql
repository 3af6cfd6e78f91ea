-- What the processes of a chunk were from one time to another, and what they were last. Windows and not arg_max as in the
-- view: they sort, so they can spill.
INSERT INTO facts
SELECT host, boot_id, pid, start_ticks, max(started_at), {{ Self::any_facts() }},
    min(first_seen), min(facts_since), max(last_seen)
FROM (
    SELECT *, count(*) FILTER (begins) OVER (PARTITION BY host, boot_id, pid, start_ticks ORDER BY facts_since, last_seen)
        AS phase
    FROM (
        SELECT *, lag(facts) OVER (PARTITION BY host, boot_id, pid, start_ticks ORDER BY facts_since, last_seen)
            IS DISTINCT FROM facts AS begins
        FROM (
            SELECT *, row({{ fields::columns(fields::facts()) }}) AS facts
            FROM all_rows_of_process_history
            WHERE host BETWEEN ? AND ? AND pid BETWEEN ? AND ?
        )
    )
)
GROUP BY host, boot_id, pid, start_ticks, phase
