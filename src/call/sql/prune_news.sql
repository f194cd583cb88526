-- Deletes the oldest parked news, at most so much; returns the names that it was of, each once for each piece of news.
-- Waits for nobody.
--
-- $1 retention in seconds
-- $2 most news
with
moment as materialized (
    select switchboard.now() as now
),
old as materialized (
    select news.ctid as tid
    from call_news as news
    where news.received_at <= (select moment.now - make_interval(secs => $1) from moment)
    order by news.received_at
    limit $2
    for update skip locked
)
delete from call_news using old
where call_news.ctid = old.tid
returning call_news.company_id, call_news.call_control_id
