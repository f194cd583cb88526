create function switchboard.sql_company() returns uuid
    language plpgsql stable security definer
    set search_path = switchboard, pg_temp
as $$
declare
    v_company_id uuid;
begin
    -- After "set local" the setting reads as an empty text and not as null.
    v_company_id := nullif(current_setting('switchboard.company_id', true), '')::uuid;
    if v_company_id is null then
        return null;
    end if;
    perform 1 from sql_principal where company_id = v_company_id and role = session_user;
    if found then
        return v_company_id;
    end if;
    -- The owner of the database needs no grant. Nor does the owner of the schema, who could replace this function.
    perform 1 from pg_database
    where datname = current_database() and pg_get_userbyid(datdba) = session_user;
    if found then
        return v_company_id;
    end if;
    perform 1 from pg_namespace
    where nspname = 'switchboard' and pg_get_userbyid(nspowner) = session_user;
    if found then
        return v_company_id;
    end if;
    return null;
exception when invalid_text_representation then
    return null;
end
$$;
comment on function switchboard.sql_company() is
    'The company that an SQL caller acts for: the setting switchboard.company_id, if the role that logged in is granted that company (or owns the database). Else null. The setting only chooses among granted companies, whoever sets it.';
revoke execute on function switchboard.sql_company() from public;
