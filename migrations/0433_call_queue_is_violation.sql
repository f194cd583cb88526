create function switchboard.call_queue_is_violation(p_call switchboard.call) returns boolean
    language plpgsql stable
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
as $$
declare
    v_company_id uuid := p_call.company_id;
    v_at         timestamptz := p_call.inserted_at;
    v_aging      interval;
    v_since      timestamptz;
begin
    if p_call.call_type <> 'CAMPAIGN' then
        return false;
    end if;
    -- A direct call of the user waited then. Lines are passed in order, so that the first ones decide. New tries of direct
    -- calls are left out: when they got their numbers is not known any more.
    perform 1
    from call_queue as item
    where item.company_id = v_company_id and item.user_id = p_call.user_id and item.call_type = 'DIRECT'
        and item.left_at > v_at and item.requeued_at < v_at and item.attempt = 1
    limit 1;
    if not found then
        perform 1
        from call_queue_user as owner
        join call_queue_line as line on line.company_id = v_company_id and line.id = owner.direct_line and line.n > 0
        cross join lateral (
            select item.requeued_at, item.attempt
            from call_queue as item
            where item.company_id = v_company_id and item.line_id = line.id and item.status = 'QUEUED'
                and item.number >= line.head
            order by item.number
            limit 100
        ) as item
        where owner.company_id = v_company_id and owner.user_id = p_call.user_id
            and item.requeued_at < v_at and item.attempt = 1
        limit 1;
        if not found then
            return false;
        end if;
    end if;
    select aging into v_aging from call_queue_settings where only_row;
    if v_aging = interval '0' then
        return true;
    end if;
    -- The user's campaigns had their turn within the bound; of calls of one dispatch the first one was it.
    v_since := v_at - v_aging;
    perform 1
    from call
    where call.company_id = v_company_id and call.user_id = p_call.user_id and call.call_type = 'CAMPAIGN'
        and call.inserted_at > v_since and call.inserted_at <= v_at
        and (call.inserted_at < v_at or call.id < p_call.id)
    limit 1;
    if found then
        return true;
    end if;
    -- Or nothing of them waited for as long as that: not this call, no head of their lines, nothing that has left since.
    if p_call.queued_at <= v_since then
        return false;
    end if;
    perform 1
    from call_queue_line as line
    join call_queue as item
        on item.company_id = v_company_id and item.line_id = line.id and item.number = line.head and item.status = 'QUEUED'
    where line.company_id = v_company_id and line.user_id = p_call.user_id and line.campaign_id is not null
        and (line.canceled_at >= v_since or item.queued_at <= v_since)
    limit 1;
    if found then
        return false;
    end if;
    perform 1
    from call_queue as item
    where item.company_id = v_company_id and item.user_id = p_call.user_id and item.call_type = 'CAMPAIGN'
        and item.left_at >= v_since and item.queued_at <= v_since
    limit 1;
    return not found;
end
$$;
comment on function switchboard.call_queue_is_violation(switchboard.call) is
    'True for a campaign''s call that was dispatched while a direct call of its user could have been, and although the user''s campaigns had not waited for as long as the setting aging. Computed from what is written about dispatches, not by the functions that decide them. Takes no lock.';
revoke execute on function switchboard.call_queue_is_violation(switchboard.call) from public;
