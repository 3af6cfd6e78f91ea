-- The machine's own figures once a minute; no processes.
INSERT INTO {{ CATALOG }}.host_sample
SELECT * REPLACE (false AS has_processes) FROM host_sample SEMI JOIN kept USING (host, captured_at)
ORDER BY host, captured_at;

INSERT INTO {{ CATALOG }}.filesystem_sample
SELECT * FROM filesystem_sample SEMI JOIN kept USING (host, captured_at)
ORDER BY host, mount, captured_at;

INSERT INTO {{ CATALOG }}.interface_sample
SELECT * FROM interface_sample SEMI JOIN kept USING (host, captured_at)
ORDER BY host, name, captured_at;
