create function switchboard.require_sql_company() returns uuid
    language plpgsql stable security definer
    set search_path = switchboard, pg_temp
as $$
declare
    v_company_id uuid := sql_company();
begin
    if v_company_id is null then
        raise exception 'set switchboard.company_id to a company that % is granted', session_user
            using errcode = 'insufficient_privilege';
    end if;
    return v_company_id;
end
$$;
comment on function switchboard.require_sql_company() is
    'As sql_company, but SQLSTATE 42501 where that is null.';
revoke execute on function switchboard.require_sql_company() from public;
