-- When processes of a chunk became another program, user's or unit's, after what they were first.
CREATE OR REPLACE TEMP TABLE change AS
SELECT host, boot_id, pid, start_ticks, facts_since AS since
FROM facts
WINDOW life AS (PARTITION BY host, boot_id, pid, start_ticks ORDER BY facts_since, last_seen)
QUALIFY row_number() OVER life > 1
    AND lag(struct_pack(name, user_name, unit)) OVER life IS DISTINCT FROM struct_pack(name, user_name, unit)
