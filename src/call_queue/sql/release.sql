-- Frees the slot of a call that has ended. The slots are locked, then the call.
--
-- $1, $2 company, call
-- $3     why it ended
-- $4     a dialer refused the number before any attempt went out
-- $5     a call for its item, if that is tried again
-- Returns the item, if it is tried again.
select call_release($1, $2, $3, $4, $5) as queue_id
