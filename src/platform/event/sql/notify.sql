-- Wakes the readers of other processes. At its commit this takes a lock of the whole cluster, so it is sent alone,
-- never in the transaction of a request.
--   $1 channel  text
--   $2 sender   text  by which the sending process ignores its own
select pg_notify($1, $2);
