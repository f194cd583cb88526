-- Notes that a timer has fired and is gone, so that it is set again for what is due next. The slots are locked.
--
-- $1 company
update call_slots set armed_due = null, armed_lease = null where company_id = $1
