-- Which processes a filter lets through: only what it asks for is read of all of them.
CREATE OR REPLACE TEMP TABLE matched AS
{{ found }}
SELECT host, boot_id, pid, start_ticks, count(*) OVER () AS total, count(DISTINCT host) OVER () AS hosts
FROM found
WHERE {{ condition }}
ORDER BY {{ order }}
LIMIT {{ limit }}
