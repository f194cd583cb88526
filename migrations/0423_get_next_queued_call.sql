create function switchboard.get_next_queued_call(p_user_id text)
    returns table (id uuid, call_id uuid, user_id text, call_type text, campaign_id uuid, agent_id text, phone_number text,
        contact_id text, contact_name text, user_data jsonb, attempt integer, queued_at timestamptz)
    language plpgsql stable security definer
    set search_path = switchboard, pg_temp
as $$
declare
    v_company_id uuid := require_sql_company();
begin
    return query
    select item.id, item.call_id, item.user_id, item.call_type, item.campaign_id, item.agent_id, item.phone_number,
        item.contact_id, item.contact_name, item.user_data, item.attempt, item.queued_at
    from call_queue_next(v_company_id, p_user_id, switchboard.now()) as item
    where item.id is not null;
end
$$;
comment on function switchboard.get_next_queued_call(text) is
    'The item that the next dispatch for this user takes, of either type; no row: none may be dispatched. Only looks, and ignores slots. For SQL callers; SQLSTATE 42501 without a company.';
revoke execute on function switchboard.get_next_queued_call(text) from public;
