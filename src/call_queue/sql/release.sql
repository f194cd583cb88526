-- Frees the slots of calls that have ended, in their order. The slots are locked, then the calls.
--
-- $1 company
-- $2 calls
-- $3 why each ended
-- $4 a dialer refused its number before any attempt went out
-- $5 a call for its item, if that is tried again
-- Returns the calls of those items that are tried again.
select released.new_call_id as "new_call_id!" from call_release($1, $2, $3, $4, $5) as released (new_call_id)
