-- Settles which users may be dispatched after the settings were changed. The slots are locked.
--
-- $1 company
-- $2 only users after this one
-- $3 most users
-- Returns the last one; null: there are no more.
select call_queue_refresh_users($1, $2, $3) as last
