-- The memory of groups of processes at `moments`. What processes of one host share is counted once: as `GroupMemory` has it.
WITH sampled AS (
    SELECT host, boot_id, pid, start_ticks, resident_bytes,
        coalesce({{ sums::sql_shared("resident_bytes", "shared_bytes") }}, 0) AS shared_bytes
    FROM {{ process_sample }} JOIN moments USING (host, boot_id, captured_at)
    WHERE captured_at = now_at AND {{ of_host }} AND host IN (SELECT host FROM at_both)
),
-- Each segment with a process says what it was from one time to another.
known AS (
    SELECT DISTINCT ON (host, boot_id, pid, start_ticks) host, boot_id, pid, start_ticks, name, user_name, unit
    FROM {{ process_history }}
    JOIN (SELECT DISTINCT host, now_at AS seen_at FROM moments) USING (host)
    WHERE last_seen >= {{ first }} AND first_seen <= {{ last }}
    ORDER BY seen_at BETWEEN facts_since AND last_seen DESC, last_seen DESC
),
of_one_host AS (
    SELECT {{ key }} AS key, host, count(*) AS processes,
        coalesce(sum(resident_bytes - shared_bytes), 0) + coalesce(max(shared_bytes), 0) AS memory_bytes
    FROM sampled JOIN known USING (host, boot_id, pid, start_ticks)
    GROUP BY key, host
)
SELECT key, count(*)::UBIGINT AS hosts, sum(processes)::UBIGINT AS processes, sum(memory_bytes)::DOUBLE AS memory_bytes
FROM of_one_host
GROUP BY key
