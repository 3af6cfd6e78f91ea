-- The snapshots of a host without all of its processes.
SELECT epoch_us(captured_at) AS captured_us, processes_left_out FROM {{ host_sample }}
WHERE host = $1 AND processes_left_out > 0
