-- Run when every segment is attached, in this order. When external access is switched off, DuckDB keeps attached files
-- and its temporary folder on a list of paths that may still be opened, for writing as well. So the temporary folder
-- goes first, and the file system itself is disabled after it. Open files stay readable.
SET temp_directory = '';
SET autoinstall_known_extensions = false;
SET autoload_known_extensions = false;
SET allow_community_extensions = false;
SET allow_persistent_secrets = false;
SET max_execution_time = {{ milliseconds }};
SET errors_as_json = true;
SET enable_external_access = false;
SET disabled_filesystems = 'LocalFileSystem';
SET lock_configuration = true;
