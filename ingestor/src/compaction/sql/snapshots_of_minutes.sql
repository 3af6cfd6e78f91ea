-- Every snapshot, and which of them keep their processes, file systems and interfaces.
INSERT INTO {{ CATALOG }}.host_sample
SELECT * REPLACE (has_processes AND (host, captured_at) IN (SELECT (host, captured_at) FROM kept) AS has_processes)
FROM host_sample
ORDER BY host, captured_at;

INSERT INTO {{ CATALOG }}.filesystem_sample
SELECT * FROM filesystem_sample SEMI JOIN kept USING (host, captured_at)
ORDER BY host, mount, captured_at;

INSERT INTO {{ CATALOG }}.interface_sample
SELECT * FROM interface_sample SEMI JOIN kept USING (host, captured_at)
ORDER BY host, name, captured_at;
