create or replace function switchboard.call_queue_canceled_items(p_company_id uuid, p_line_id uuid, p_most integer)
    returns table (queue_id uuid, call_id uuid)
    language plpgsql
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
    set enable_hashjoin = off
    set enable_mergejoin = off
as $$
declare
    v_line call_queue_line;
begin
    select * into v_line from call_queue_line where company_id = p_company_id and id = p_line_id;
    return query
    with
    -- From the front of the line on, by its index; however much is left, a step costs the same.
    numbered as materialized (
        select item.ctid as tid
        from call_queue as item
        where item.company_id = p_company_id and item.line_id = p_line_id and item.status = 'QUEUED'
            and item.number is not null and item.number <= v_line.canceled_through
        order by item.number
        limit p_most
        for no key update skip locked
    ),
    retried as materialized (
        select item.ctid as tid
        from call_queue as item
        where item.company_id = p_company_id and item.line_id = p_line_id and item.status = 'QUEUED'
            and item.number is null and item.requeued_at <= v_line.canceled_at
        order by item.not_before
        limit p_most - (select count(*) from numbered)
        for no key update skip locked
    )
    -- Where they were locked, nobody has moved them. Looked up by their ids, they would be searched in the whole company by a
    -- plan that was made on an empty table.
    update call_queue as item
    set status = 'CANCELED', left_at = v_line.canceled_at, version = item.version + 1, revision = item.revision + 1
    from (select numbered.tid from numbered union all select retried.tid from retried) as chosen
    where item.ctid = chosen.tid
    returning item.id, item.call_id;
end
$$;
