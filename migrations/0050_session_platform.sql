-- SQL callers, as far as sessions need them.

create table switchboard.sql_principal (
    company_id  uuid        not null references switchboard.company (id),
    role        name        not null,
    inserted_at timestamptz not null default switchboard.now(),
    primary key (company_id, role)
);
comment on table  switchboard.sql_principal is 'Which companies a database role may call the SQL functions for.';
comment on column switchboard.sql_principal.company_id is 'The tenant whose data the role reaches.';
comment on column switchboard.sql_principal.role is 'The role that a session logged in as (session_user): inside a function that runs as its owner, current_user is the owner.';
comment on column switchboard.sql_principal.inserted_at is 'When it was granted.';

create function switchboard.sql_company() returns uuid
    language plpgsql stable security definer
    set search_path = switchboard, pg_temp
as $$
declare
    v_company_id uuid;
begin
    -- After "set local" the setting reads as an empty text and not as null.
    v_company_id := nullif(current_setting('switchboard.company_id', true), '')::uuid;
    perform 1 from sql_principal where company_id = v_company_id and role = session_user;
    if found then
        return v_company_id;
    end if;
    perform 1 from pg_namespace where nspname = 'switchboard' and pg_get_userbyid(nspowner) = session_user;
    if found then
        return v_company_id;
    end if;
    return null;
exception when invalid_text_representation then
    return null;
end
$$;
comment on function switchboard.sql_company() is
    'The company that an SQL caller acts for: the setting switchboard.company_id, if the role that logged in is granted that company or owns the schema. Else null.';
revoke execute on function switchboard.sql_company() from public;

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
