-- The samples of a process, from the last snapshot before a span; without when that was since the boot.
SELECT epoch_us(captured_at), 0::BIGINT, boot_id, resident_bytes::DOUBLE, virtual_bytes::DOUBLE, threads::DOUBLE,
    cpu_time_ms::DOUBLE, read_bytes::DOUBLE, written_bytes::DOUBLE
FROM $process_sample
WHERE host = $1 AND boot_id = $2 AND pid = $3 AND started_at = make_timestamp($4::BIGINT)
