-- Writes into the rows of some items that they were canceled with their line.
--
-- $1, $2 company, line
-- $3     most items
select canceled.call_id as "call_id!" from call_queue_canceled_items($1, $2, $3) as canceled
