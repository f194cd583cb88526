create function switchboard.count_user_direct_calls_queued(p_user_id text) returns integer
    language plpgsql stable security definer
    set search_path = switchboard, pg_temp
as $$
declare
    v_company_id uuid := require_sql_company();
begin
    return coalesce((
        select queued_direct
        from call_queue_user
        where company_id = v_company_id and user_id = p_user_id
    ), 0);
end
$$;
comment on function switchboard.count_user_direct_calls_queued(text) is
    'How many direct calls of a user wait. For SQL callers; SQLSTATE 42501 without a company.';
revoke execute on function switchboard.count_user_direct_calls_queued(text) from public;
