SELECT epoch_us(captured_at) AS captured_at_us, os_host_name, agent_version, {{ fields::readable(&host::HOST_INFO) }}
FROM {{ host_info }}
WHERE host = $1
