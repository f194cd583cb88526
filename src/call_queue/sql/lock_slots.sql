-- Takes the one lock of a company's queue. Nothing is read here: the snapshot of this statement may be older than the lock.
--
-- $1 company
select 1 as "locked!" from (select call_slots_lock($1)) as locked
