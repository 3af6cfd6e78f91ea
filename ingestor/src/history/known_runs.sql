SELECT host, run_id, max(sequence) FROM host_sample GROUP BY host, run_id ORDER BY max(stored_at)
