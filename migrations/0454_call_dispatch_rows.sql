create function switchboard.call_dispatch_rows(p_company_id uuid, p_most integer) returns setof switchboard.call
    language plpgsql
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
as $$
declare
    v_ids uuid[] := array(select call_dispatch(p_company_id, p_most));
begin
    return query
    select call.*
    from unnest(v_ids) as dispatched (id)
    cross join lateral (
        select * from call where call.company_id = p_company_id and call.id = dispatched.id offset 0
    ) as call;
end
$$;
comment on function switchboard.call_dispatch_rows(uuid, integer) is
    'As call_dispatch; returns the rows of the calls. The caller holds the lock of call_slots, and appends the events.';
revoke execute on function switchboard.call_dispatch_rows(uuid, integer) from public;
