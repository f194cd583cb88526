create function switchboard.call_queue_canceled_items(p_company_id uuid, p_line_id uuid, p_most integer)
    returns table (queue_id uuid, call_id uuid)
    language plpgsql
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
as $$
declare
    v_line call_queue_line;
    v_item call_queue;
begin
    select * into v_line from call_queue_line where company_id = p_company_id and id = p_line_id;
    for v_item in
        select *
        from call_queue as item
        where item.company_id = p_company_id and item.line_id = p_line_id and item.status = 'QUEUED'
            and (item.number <= v_line.canceled_through
                or (item.number is null and item.requeued_at <= v_line.canceled_at))
        order by item.number
        limit p_most
        for no key update skip locked
    loop
        perform call_queue_write_canceled(p_company_id, v_item.id, v_line.canceled_at);
        queue_id := v_item.id;
        call_id := v_item.call_id;
        return next;
    end loop;
end
$$;
comment on function switchboard.call_queue_canceled_items(uuid, uuid, integer) is
    'Writes into the rows of some items that they were canceled with their line; returns them with their calls, whose events the caller appends. Takes no lock but those of the rows.';
revoke execute on function switchboard.call_queue_canceled_items(uuid, uuid, integer) from public;
