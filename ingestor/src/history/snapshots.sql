SELECT epoch_us(captured_at) AS captured_us, count(*) OVER () AS total, stream_sequence FROM {{ host_sample }}
WHERE host = $1 AND captured_at >= make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS
    AND captured_at < make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS AND has_processes
ORDER BY captured_at {% if newest_first %}DESC{% endif %}
LIMIT $4
