-- The processes of a host as they were at a moment (UTC), by its last snapshot then or before; none where nothing had
-- come from it for so long that it was silent: FROM processes_at('web-01', '2026-11-21 03:12:00')
CREATE OR REPLACE MACRO processes_at(host_name, moment) AS TABLE
WITH latest AS (
    SELECT host, captured_at FROM host_sample
    WHERE host = host_name AND has_processes AND captured_at <= moment::TIMESTAMP_MS
        -- Where samples are thinned, one a minute is left; a view does not tell where.
        AND moment::TIMESTAMP - captured_at <= to_milliseconds({{ Self::silent_after_ms() }})
    ORDER BY captured_at DESC LIMIT 1
)
SELECT pid, parent_pid, name, user_name, {{ fields::columns(fields::figures()) }}, {{ fields::columns(Self::other_facts()) }}, executable, command_line, process.started_at, captured_at, host,
    boot_id, start_ticks
FROM {{ samples }} AS sample
JOIN (
    SELECT DISTINCT ON (host, boot_id, pid, start_ticks) process.* EXCLUDE (facts_since, first_seen, last_seen)
    FROM {{ history }} AS process JOIN latest USING (host)
    WHERE facts_since <= captured_at
    ORDER BY facts_since DESC
) AS process USING (host, boot_id, pid, start_ticks)
WHERE host = host_name;
