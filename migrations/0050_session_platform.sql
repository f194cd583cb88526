-- SQL callers and their events, as far as sessions need them.

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

create function switchboard.append_event(
    p_company_id   uuid,
    p_subject_type text,
    p_subject_id   text,
    p_version      integer,
    p_type         text,
    p_payload      jsonb,
    p_before       jsonb default null,
    p_actor        text default null
) returns timestamptz
    language plpgsql security definer
    set search_path = switchboard, pg_temp
as $$
declare
    v_previous jsonb;
    v_at       timestamptz;
begin
    if current_setting('synchronous_commit') = 'off' then
        perform set_config('synchronous_commit', 'on', true);
    end if;
    if p_before is not null then
        select coalesce(jsonb_object_agg(name, value), '{}') into v_previous
        from jsonb_each(p_before) as earlier (name, value)
        where p_payload -> name is distinct from value;
    end if;
    insert into event (company_id, subject_type, subject_id, version, type, actor, payload, previous)
    values (p_company_id, p_subject_type, p_subject_id, p_version, p_type, p_actor, p_payload::text::json,
        v_previous::text::json)
    returning occurred_at into v_at;
    -- One notifying commit at a time: such a commit takes a lock of the whole cluster until it is flushed.
    if pg_try_advisory_xact_lock(2021041) then
        perform pg_notify('switchboard_event', 'sql');
    end if;
    return v_at;
end
$$;
comment on function switchboard.append_event(uuid, text, text, integer, text, jsonb, jsonb, text) is
    'Appends one event about a subject whose row the caller''s transaction has locked and changed. p_payload: the record after the change. p_before: the record before; null for a new subject.';
revoke execute on function switchboard.append_event(uuid, text, text, integer, text, jsonb, jsonb, text) from public;
