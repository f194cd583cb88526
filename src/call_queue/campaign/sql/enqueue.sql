-- Puts contacts at the end of a campaign's line. The slots are locked.
--
-- $1, $2  company, campaign
-- $3, $4  items, calls
-- $5..$8  phone numbers, contacts, their names, user data
-- Returns for each whether it is new, and calls that were canceled with their whole line before, whose rows say so now.
select enqueued.entered as "entered!", enqueued.replaced as "replaced!"
from call_queue_enqueue($1, $2, $3, $4, $5, $6, $7, $8) as enqueued
