INSERT INTO {{ CATALOG }}.process
SELECT host, boot_id, pid, {{ segment::sql_stored_start("started_at") }}, {{ fields::columns(fields::facts()) }},
    min(first_seen) OVER (PARTITION BY host, boot_id, pid, start_ticks), last_seen, facts_since
FROM facts
QUALIFY row_number() OVER (PARTITION BY host, boot_id, pid, start_ticks ORDER BY facts_since DESC, last_seen DESC) = 1
ORDER BY host, pid, start_ticks;

INSERT INTO {{ CATALOG }}.process_earlier
SELECT host, boot_id, pid, {{ segment::sql_stored_start("started_at") }}, {{ fields::columns(fields::facts()) }}, facts_since, last_seen
FROM facts
QUALIFY row_number() OVER (PARTITION BY host, boot_id, pid, start_ticks ORDER BY facts_since DESC, last_seen DESC) > 1
ORDER BY host, pid, start_ticks, facts_since;

DELETE FROM facts;
