-- The figures of `process_span` as they are stored, of those that people see: the generated columns the other way round.
if(ascii(state) < 256, ascii(state), 63)::UTINYINT AS state_code,
    threads,
    try_cast(round(cpu_percent * 10) AS UINTEGER) AS cpu_tenths,
    cpu_time_ms // 10 AS cpu_ticks,
    try_cast(resident_bytes // 4096 AS UINTEGER) AS resident_pages,
    virtual_bytes // 4096 AS virtual_pages,
    read_bytes // 512 AS read_sectors,
    written_bytes // 512 AS written_sectors
