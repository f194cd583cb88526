-- Attaches the daily partitions that are missing up to a day ahead, and gives their number. The function takes an
-- advisory lock until the end of the transaction; attaching blocks neither readers nor writers of the log.
--   $1 days_ahead  int
select switchboard.add_event_days((switchboard.now() at time zone 'UTC')::date + $1::int) as "added!";
