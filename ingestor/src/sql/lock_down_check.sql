-- The settings that did not take.
SELECT coalesce(string_agg(expected.name, ', '), '')
FROM (VALUES
    ('temp_directory', ''),
    ('autoinstall_known_extensions', 'false'),
    ('autoload_known_extensions', 'false'),
    ('allow_community_extensions', 'false'),
    ('allow_persistent_secrets', 'false'),
    ('max_execution_time', '{{ milliseconds }}'),
    ('enable_external_access', 'false'),
    ('lock_configuration', 'true')
) AS expected (name, value)
LEFT JOIN duckdb_settings() AS setting ON setting.name = expected.name AND setting.value = expected.value
WHERE setting.name IS NULL;
