-- Locks a contract to change anything but its agent: offers that are being written go on beside it.
--
-- $1 company
-- $2 id
select id from contract where company_id = $1 and id = $2 for no key update
