CREATE INDEX host_sample_moment ON host_sample (host, captured_ms);
CREATE INDEX process_identity ON process (host, pid, started_us, boot_id);
CREATE INDEX process_sample_moment ON process_sample (host, captured_ms);
CREATE INDEX process_sample_identity ON process_sample (host, pid, started_us, captured_ms);
ANALYZE;
