-- Inserts the line of a campaign. The slots are locked.
--
-- $1..$3 company, campaign, user
-- $4, $5 whether it is open, weight
insert into call_queue_line (company_id, id, user_id, campaign_id, is_open, weight)
values ($1, $2, $3, $2, $4, $5)
