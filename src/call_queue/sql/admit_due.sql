-- Gives retries that are due their places. The slots are locked.
--
-- $1 company
-- $2 most items
select call_queue_admit_due($1, $2) as "admitted!"
