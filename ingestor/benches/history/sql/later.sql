-- Attaches a segment, and a new one with the same tables for the same rows, later.
SET threads = 1;
SET memory_limit = '2GiB';
ATTACH '$source' AS source (READ_ONLY);
ATTACH '$later' AS later (STORAGE_VERSION 'v1.4.0');
COPY FROM DATABASE source TO later (SCHEMA);
