-- The process samples captured at the times (host, captured_at) in `moments`.
SELECT span.host, boot_id, pid, start_ticks, started_at, captured_at, {{ fields::columns(fields::figures()) }}
FROM {{ spans }} AS span
-- Not called `moment`, as a parameter of `processes_at` is.
JOIN (SELECT file, host, captured_at FROM {{ captures }} SEMI JOIN {{ moments }} USING (host, captured_at)) AS capture
    ON capture.file = span.file AND capture.host = span.host AND captured_at BETWEEN first_captured_at AND last_captured_at
