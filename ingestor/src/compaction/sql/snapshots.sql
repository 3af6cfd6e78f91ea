-- Every snapshot, in the order that queries want.
INSERT INTO {{ CATALOG }}.host_sample SELECT * FROM host_sample ORDER BY host, captured_at;

INSERT INTO {{ CATALOG }}.filesystem_sample SELECT * FROM filesystem_sample ORDER BY host, mount, captured_at;

INSERT INTO {{ CATALOG }}.interface_sample SELECT * FROM interface_sample ORDER BY host, name, captured_at;
