-- Gives free slots to what waits. The slots are locked. Returns the calls that got one.
--
-- $1 company
-- $2 most calls
select dispatched.call_id as "call_id!" from call_dispatch($1, $2) as dispatched (call_id)
