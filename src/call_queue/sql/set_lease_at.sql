-- Notes when slots are looked at for silence next. The slots are locked.
--
-- $1 company
-- $2 when; null: there are none
update call_slots set lease_at = $2 where company_id = $1
