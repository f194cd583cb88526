create or replace function switchboard.call_queue_next(p_company_id uuid, p_user_id text, p_now timestamptz)
    returns switchboard.call_queue
    language plpgsql stable
    set search_path = switchboard, pg_temp
as $$
declare
    v_item call_queue;
begin
    select item.* into v_item
    from call_queue_next_line(p_company_id, p_user_id, p_now) as next
    cross join lateral (
        select * from call_queue_line as line where line.company_id = p_company_id and line.id = next.line_id offset 0
    ) as line
    cross join lateral (
        select *
        from call_queue as item
        where item.company_id = p_company_id and item.line_id = line.id and item.number = line.head and item.status = 'QUEUED'
        offset 0
    ) as item;
    if v_item.campaign_id is not null then
        -- Whoever speaks for the campaign now, and not when the contact was added.
        select agent_id into v_item.agent_id from campaign where company_id = p_company_id and id = v_item.campaign_id;
    end if;
    return v_item;
end
$$;
comment on function switchboard.call_queue_next(uuid, text, timestamptz) is
    'The item that a dispatch takes for a user: the head of call_queue_next_line. A campaign''s item names its present agent. Null: nothing may be dispatched. Ignores slots; takes no lock.';
