create or replace function switchboard.call_queue_position(
    p_company_id uuid, p_queue_id uuid, p_now timestamptz,
    out "position" bigint, out position_in_type bigint
)
    language plpgsql stable
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
as $$
declare
    v_item   call_queue;
    v_line   call_queue_line;
    v_user   call_queue_user;
    v_direct bigint;
    v_is_due boolean := false;
    v_head   uuid;
    v_finish bigint;
    v_tag    bigint;
    v_aging  interval;
begin
    -- Only the primary key gives this order, so that is read, whenever the plan was made.
    select * into v_item
    from call_queue
    where company_id = p_company_id and id between p_queue_id and p_queue_id
    order by id
    limit 1;
    if not found or v_item.status <> 'QUEUED' then
        return;
    end if;
    select * into v_line from call_queue_line where company_id = p_company_id and id = v_item.line_id;
    if call_queue_is_canceled(v_item, v_line) then
        return;
    end if;
    select * into v_user from call_queue_user where company_id = p_company_id and user_id = v_item.user_id;
    -- A retry that is not due has the place that it would get now.
    position_in_type := case when v_item.number is null then v_line.n + 1 else call_queue_place(v_line, v_item.number) end;
    if v_user.campaign_since is not null then
        select aging into v_aging from call_queue_settings where only_row;
        v_is_due := v_aging > interval '0' and v_user.campaign_since + v_aging <= p_now;
    end if;
    if v_item.campaign_id is null then
        "position" := position_in_type + v_is_due::integer;
        return;
    end if;
    -- A line that is closed or empty would begin at the present virtual time.
    v_finish := case when v_line.is_open and v_line.n > 0 then v_line.finish
        else greatest(v_line.finish, v_user.virtual_time) end;
    v_tag := v_finish + position_in_type * call_queue_step(v_line.weight);
    -- Of each other line: the items whose (tag, line) is smaller.
    select position_in_type + coalesce(sum(least(other.n, greatest(0,
        case when other.id < v_line.id then (v_tag - other.finish) / call_queue_step(other.weight)
            else (v_tag - other.finish - 1) / call_queue_step(other.weight) end))), 0)
    into position_in_type
    from call_queue_line as other
    where other.company_id = p_company_id and other.user_id = v_line.user_id and other.campaign_id is not null
        and other.is_open and other.n > 0 and other.id <> v_line.id;
    select n into v_direct from call_queue_line where company_id = p_company_id and id = v_user.direct_line;
    "position" := case when v_is_due and position_in_type = 1 then 1 else v_direct + position_in_type end;
end
$$;
