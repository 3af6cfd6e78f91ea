SELECT epoch_us(captured_at) AS captured_at_us, {{ fields::readable(&filesystem::FILESYSTEM) }} FROM {{ filesystem_sample }}
WHERE host = $1 AND captured_at BETWEEN make_timestamp_ms($2::BIGINT)::TIMESTAMP_MS AND make_timestamp_ms($3::BIGINT)::TIMESTAMP_MS
LIMIT $4
