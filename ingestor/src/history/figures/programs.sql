-- What the processes were called, and of whom; and which of them may be of a program that is asked for.
fact AS (
    SELECT host, boot_id, pid, start_ticks, facts_since, last_seen,
        struct_pack(name, user_name := coalesce(user_name, ''), unit := coalesce(unit, '')) AS facts
    FROM {{ programs }}
    WHERE {{ of_hosts }}
),
program AS (
    SELECT host, boot_id, pid, start_ticks, arg_max(facts, last_seen) AS facts,
        min(hash(facts)) <> max(hash(facts)) AS has_changed
    FROM fact
    GROUP BY host, boot_id, pid, start_ticks
    HAVING bool_or({{ wanted }})
),
-- What a process was, and since when, of those that called exec or took another user.
change AS (
    SELECT host, boot_id, pid, start_ticks, facts_since AS since, facts
    FROM fact SEMI JOIN (FROM program WHERE has_changed) USING (host, boot_id, pid, start_ticks)
    QUALIFY lag(facts) OVER (PARTITION BY host, boot_id, pid, start_ticks ORDER BY facts_since, last_seen)
        IS DISTINCT FROM fact
),
