-- Opens or closes a campaign's line and sets its weight. The slots are locked.
--
-- $1, $2 company, campaign
-- $3, $4 open, weight
select 1 as "set!" from (select call_queue_set_line($1, $2, $3, $4)) as set
