create function switchboard.session_is_empty(p_company_id uuid, p_session_id text) returns boolean
    language plpgsql volatile
    set search_path = switchboard, pg_temp
as $$
begin
    return not exists (
        select 1 from session_health
        where company_id = p_company_id and session_id = p_session_id and status <> 'DISCONNECTED'
    );
end
$$;
comment on function switchboard.session_is_empty(uuid, text) is 'True if nobody is present in the session.';
revoke execute on function switchboard.session_is_empty(uuid, text) from public;
