-- Notes for which settings a company's users were settled. The slots are locked.
--
-- $1 company
-- $2 version of the settings
update call_slots set settings = $2 where company_id = $1
