-- Parks news of a name that no call has; the name is locked. Nothing is parked when the company has too much already.
--
-- $1 company
-- $2 name
-- $3 id
-- $4 status, null for a hang-up
-- $5 reason
-- $6 when it happened
-- $7 now
-- $8 most parked news of a company
with
counted as (
    select count(*) as parked
    from (select 1 from call_news as news where news.company_id = $1 limit $8) as news
)
insert into call_news (company_id, call_control_id, id, status, end_reason, occurred_at, received_at)
select $1, $2, $3, $4, $5, $6, $7
from counted
where counted.parked < $8
