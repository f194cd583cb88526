-- Deletes those of some names that no call has and that have no news. They are locked.
--
-- $1, $2 companies and names
delete from call_name
where ctid = any (array(
    select name.ctid
    from unnest($1::uuid[], $2::text[]) as asked (company_id, call_control_id)
    cross join lateral (
        select name.ctid
        from call_name as name
        where name.company_id = asked.company_id
            and name.call_control_id between asked.call_control_id and asked.call_control_id and name.call_id is null
        order by name.call_control_id
        limit 1
    ) as name
    where not exists (
        select 1
        from call_news as news
        where news.company_id = asked.company_id and news.call_control_id = asked.call_control_id
    )
))
