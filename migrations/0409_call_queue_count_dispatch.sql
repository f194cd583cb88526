create function switchboard.call_queue_count_dispatch(
    p_user switchboard.call_queue_user, p_item switchboard.call_queue, p_turn bigint, p_now timestamptz
) returns void
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_tag      bigint;
    v_limit    integer;
    v_direct   integer;
    v_campaign bigint := 0;
    v_waited   integer := least(extract(epoch from p_now - p_item.queued_at) * 1000, 2147483647)::integer;
    v_is_campaign boolean := p_item.campaign_id is not null;
begin
    if v_is_campaign then
        update call_queue_line
        set finish = finish + call_queue_step(weight)
        where company_id = p_item.company_id and id = p_item.line_id
        returning finish into v_tag;
        update campaign
        set queued = queued - 1, processing = processing + 1, is_touched = true
        where company_id = p_item.company_id and id = p_item.campaign_id;
    end if;
    select n into v_direct from call_queue_line where company_id = p_item.company_id and id = p_user.direct_line;
    if p_user.queued_campaign > v_is_campaign::integer then
        select coalesce(sum(n), 0) into v_campaign
        from call_queue_line
        where company_id = p_item.company_id and user_id = p_user.user_id and campaign_id is not null and is_open;
    end if;
    v_limit := coalesce(p_user.call_limit, (select user_calls from call_queue_settings where only_row));
    update call_queue_user
    set active_direct = active_direct + (not v_is_campaign)::integer,
        active_campaign = active_campaign + v_is_campaign::integer,
        queued_direct = queued_direct - (not v_is_campaign)::integer,
        queued_campaign = queued_campaign - v_is_campaign::integer,
        turn = p_turn,
        is_waiting = v_direct + v_campaign > 0,
        may_dispatch = v_direct + v_campaign > 0 and active_direct + active_campaign + 1 < v_limit,
        campaign_since = case when v_campaign = 0 then null when v_is_campaign then p_now
            else coalesce(campaign_since, p_now) end,
        virtual_time = coalesce(v_tag, virtual_time),
        waited_ms = waited_ms[greatest(cardinality(waited_ms) - 48, 1):] || v_waited
    where company_id = p_item.company_id and user_id = p_user.user_id;
end
$$;
comment on function switchboard.call_queue_count_dispatch(switchboard.call_queue_user, switchboard.call_queue, bigint, timestamptz) is
    'The part of a dispatch that is the user''s and its campaign''s: counters, the next turn, the campaign''s tag. The item has left its line.';
revoke execute on function switchboard.call_queue_count_dispatch(switchboard.call_queue_user, switchboard.call_queue, bigint, timestamptz) from public;
