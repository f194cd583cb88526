-- Takes an item that waits out of its line. The slots are locked.
--
-- $1, $2 company, item
-- Returns CANCELED, ALREADY_DISPATCHED, ALREADY_ENDED, or null: there is none.
select call_queue_cancel($1, $2) as outcome
