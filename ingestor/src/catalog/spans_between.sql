-- Of spans that reach into a time, those with a snapshot in it. One that covers all of it has one if its host has.
SELECT host, boot_id, pid, start_ticks, started_at, first_captured_at, last_captured_at, snapshots, {{ fields::columns(fields::figures()) }}
FROM {{ spans }}
WHERE first_captured_at >= {{ from }} OR last_captured_at < {{ to }}
    OR (file, host) IN (SELECT (file, host) FROM {{ wanted }})
