-- Writes this server's settings, if they differ.
--   $1 provider       text[]
--   $2 stale_after    interval
--   $3 check_every    interval
--   $4 cleanup_every  interval
--   $5 retention      interval
--   $6 is_automatic   boolean
select session_use_settings($1, $2, $3, $4, $5, $6) as "done!";
