create function switchboard.claim_next_calls(p_limit integer)
    returns table (id uuid, user_id text, agent_id text, call_type text, phone_number text, contact_id text, user_data jsonb)
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_company_id uuid := require_sql_company();
    v_ids        uuid[];
    v_call       call;
    v_record     jsonb;
begin
    if p_limit is null or p_limit < 1 or p_limit > 500 then
        raise exception 'claim_next_calls takes 1 to 500 calls' using errcode = 'invalid_parameter_value';
    end if;
    perform call_slots_lock(v_company_id);
    -- The rows of calls are new: the statement that dispatches them does not see them.
    v_ids := array(select call_dispatch(v_company_id, p_limit));
    for v_call in
        select call.*
        from unnest(v_ids) with ordinality as dispatched (call_id, place)
        join call on call.company_id = v_company_id and call.id = dispatched.call_id
        order by dispatched.place
    loop
        v_record := call_record(v_call);
        perform append_event(v_company_id, 'call', v_call.id::text, v_call.version, 'CallDispatched', v_record,
            v_record || jsonb_build_object('status', 'QUEUED', 'version', v_call.version - 1), 'sql');
        id := v_call.id;
        user_id := v_call.user_id;
        agent_id := v_call.agent_id;
        call_type := v_call.call_type;
        phone_number := v_call.phone_number;
        contact_id := v_call.contact_id;
        user_data := v_call.user_data;
        return next;
    end loop;
end
$$;
comment on function switchboard.claim_next_calls(integer) is
    'Gives free slots to what waits, as servers do, and returns the calls that got one. For the owner only: other SQL callers look at the queue by get_next_queued_call.';
revoke execute on function switchboard.claim_next_calls(integer) from public;
