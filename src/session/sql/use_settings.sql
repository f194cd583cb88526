-- Writes a server's settings, if they differ.
--   $1 settings  jsonb  columns of session_settings
select session_use_settings($1) as "done!";
