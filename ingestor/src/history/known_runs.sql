SELECT host, run_id, max(sequence), epoch_us(max(stored_at)) FROM $host_sample WHERE run_id IS NOT NULL GROUP BY host, run_id
