create function switchboard.session_company() returns uuid
    language plpgsql volatile security definer
    set search_path = switchboard, pg_temp
as $$
declare
    v_company_id uuid;
begin
    if coalesce(current_setting('switchboard.company_id', true), '') = '' then
        -- A role that is granted one company needs no setting.
        select (array_agg(company_id))[1] into v_company_id
        from sql_principal
        where role = session_user
        having count(*) = 1;
        if v_company_id is null then
            return null;
        end if;
        perform set_config('switchboard.company_id', v_company_id::text, true);
    end if;
    v_company_id := sql_company();
    perform 1 from company where id = v_company_id;
    return case when found then v_company_id end;
end
$$;
comment on function switchboard.session_company() is
    'The company that the caller acts for: as sql_company, or the only one that the role is granted. Null: none.';
revoke execute on function switchboard.session_company() from public;
