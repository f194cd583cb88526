-- Gives an inbound call a slot, whatever the limits. The slots are locked.
--
-- $1..$3 company, call, user
-- $4     now
select 1 as "taken!" from (select call_slot_take($1, $2, $3, null, $4)) as taken
