-- Raises the version of a company's limits. The slots are locked.
--
-- $1 company
update call_slots set limits = limits + 1 where company_id = $1 returning limits
