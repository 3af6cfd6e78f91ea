-- Attaches a segment, and a new one with the same tables for the same rows, later.
SET threads = 1;
SET memory_limit = '2GiB';
ATTACH '$source' AS source (READ_ONLY);
-- Blocks as those of such segments.
ATTACH '$later' AS later (BLOCK_SIZE 65536, STORAGE_VERSION 'v1.4.0');
COPY FROM DATABASE source TO later (SCHEMA);
