-- Cancels everything that waits in a line. The slots are locked.
--
-- $1, $2 company, line
select call_queue_cancel_line($1, $2) as "canceled!"
