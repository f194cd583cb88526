create or replace function switchboard.call_queue_next(p_company_id uuid, p_user_id text, p_now timestamptz)
    returns switchboard.call_queue
    language plpgsql stable
    set search_path = switchboard, pg_temp
as $$
declare
    v_user     call_queue_user;
    v_direct   call_queue_line;
    v_campaign call_queue_line;
    v_aging    interval;
    v_item     call_queue;
begin
    select * into v_user from call_queue_user where company_id = p_company_id and user_id = p_user_id;
    if not found then
        return null;
    end if;
    select * into v_direct from call_queue_line where company_id = p_company_id and id = v_user.direct_line;
    if v_user.queued_campaign > 0 then
        select * into v_campaign
        from call_queue_line
        where company_id = p_company_id and user_id = p_user_id and campaign_id is not null and is_open and n > 0
        order by finish + call_queue_step(weight), id
        limit 1;
        if v_campaign.id is not null and v_direct.n > 0 then
            select aging into v_aging from call_queue_settings where only_row;
            if v_aging = interval '0' or v_user.campaign_since + v_aging > p_now then
                v_campaign := null;
            end if;
        end if;
    end if;
    if v_campaign.id is not null then
        v_direct := v_campaign;
    end if;
    if v_direct.n = 0 then
        return null;
    end if;
    select * into v_item
    from call_queue
    where company_id = p_company_id and line_id = v_direct.id and number = v_direct.head and status = 'QUEUED';
    if v_item.campaign_id is not null then
        -- Whoever speaks for the campaign now, and not when the contact was added.
        select agent_id into v_item.agent_id from campaign where company_id = p_company_id and id = v_item.campaign_id;
    end if;
    return v_item;
end
$$;
comment on function switchboard.call_queue_next(uuid, text, timestamptz) is
    'The item that a dispatch takes for a user: its direct calls in their order, then the head of its campaigns with the smallest tag; that head first, if its campaigns have waited for longer than the setting aging. A campaign''s item names its present agent. Null: nothing may be dispatched. Ignores slots; takes no lock.';
