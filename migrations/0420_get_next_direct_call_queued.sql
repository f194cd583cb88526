create function switchboard.get_next_direct_call_queued(p_user_id text)
    returns table (id uuid, call_id uuid, user_id text, agent_id text, phone_number text, contact_id text, contact_name text,
        user_data jsonb, "position" bigint, queued_at timestamptz)
    language plpgsql stable security definer
    set search_path = switchboard, pg_temp
as $$
declare
    v_company_id uuid := require_sql_company();
begin
    return query
    select item.id, item.call_id, item.user_id, item.agent_id, item.phone_number, item.contact_id, item.contact_name,
        item.user_data, 1::bigint, item.queued_at
    from call_queue_user as owner
    join call_queue_line as line on line.company_id = v_company_id and line.id = owner.direct_line and line.n > 0
    join call_queue as item
        on item.company_id = v_company_id and item.line_id = line.id and item.number = line.head and item.status = 'QUEUED'
    where owner.company_id = v_company_id and owner.user_id = p_user_id;
end
$$;
comment on function switchboard.get_next_direct_call_queued(text) is
    'The direct call of a user that is dispatched before its other direct calls; no row: none waits. Only looks. For SQL callers; SQLSTATE 42501 without a company.';
revoke execute on function switchboard.get_next_direct_call_queued(text) from public;
