-- What the next concepts stand on: timers by purpose and from SQL, leases, idempotency keys, SQL callers.

-- Timers --------------------------------------------------------------------------------------------------------------

-- A server lists only the purposes that it handles; those of a newer build must not stand in front of them.
drop index switchboard.timer_due;
create index timer_due on switchboard.timer (subject_type, purpose, due_at);
comment on index switchboard.timer_due is
    'The due timers of each purpose, the longest due first; when the next one is due.';

-- SQL callers ---------------------------------------------------------------------------------------------------------

create table switchboard.sql_principal (
    company_id  uuid        not null references switchboard.company (id),
    role        name        not null,
    inserted_at timestamptz not null default switchboard.now(),
    primary key (company_id, role)
);
comment on table  switchboard.sql_principal is 'Which companies a database role may call the SQL functions for. Written by the command sql-role.';
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

create function switchboard.grant_sql_functions() returns integer
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_role     name;
    v_function regprocedure;
    v_granted  integer := 0;
begin
    for v_role in
        select distinct principal.role
        from sql_principal as principal
        join pg_roles on pg_roles.rolname = principal.role
        order by principal.role
    loop
        if not has_schema_privilege(v_role, 'switchboard', 'usage') then
            execute format('grant usage on schema switchboard to %I', v_role);
        end if;
        for v_function in
            select oid
            from pg_proc
            where pronamespace = 'switchboard'::regnamespace and prosecdef
                and not has_function_privilege(v_role, oid, 'execute')
            order by oid
        loop
            execute format('grant execute on function %s to %I', v_function, v_role);
            v_granted := v_granted + 1;
        end loop;
    end loop;
    return v_granted;
end
$$;
comment on function switchboard.grant_sql_functions() is
    'Lets every role in sql_principal call the functions for SQL callers, which are the security definer functions of this schema; gives the number of grants that were missing. Runs after each migration, which may have added functions, and after each sql-role grant.';
revoke execute on function switchboard.grant_sql_functions() from public;

create function switchboard.set_timer(p_subject_type text, p_subject_id text, p_purpose text, p_due_at timestamptz)
    returns void
    language plpgsql security definer
    set search_path = switchboard, pg_temp
as $$
declare
    v_company_id uuid := require_sql_company();
    v_now        timestamptz;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'set_timer needs read committed' using errcode = 'invalid_transaction_state';
    end if;
    -- Servers read the times of all companies: one that they cannot represent must not come among them.
    if p_due_at is null or p_due_at >= '9999-01-01Z' then
        raise exception 'set_timer needs a due time before the year 9999' using errcode = 'invalid_parameter_value';
    end if;
    if length(p_subject_type) > 200 or length(p_subject_id) > 200 or length(p_purpose) > 200 then
        raise exception 'set_timer takes names of at most 200 characters' using errcode = 'invalid_parameter_value';
    end if;
    insert into timer (company_id, subject_type, subject_id, purpose, due_at, token)
    values (v_company_id, p_subject_type, p_subject_id, p_purpose, greatest(p_due_at, '2000-01-01Z'), gen_random_uuid())
    on conflict (company_id, subject_type, subject_id, purpose)
        do update set due_at = excluded.due_at, token = excluded.token, attempts = 0;
    v_now := switchboard.now();
    -- A commit that notifies takes a lock of the whole cluster. A scheduler looks for timers by itself at least once a
    -- minute (the bound of SWITCHBOARD_TIMER_POLL), so only a timer that is due before that needs a wake-up.
    if p_due_at < v_now + interval '1 minute' then
        perform pg_notify('switchboard_timer', '');
    end if;
end
$$;
comment on function switchboard.set_timer(text, text, text, timestamptz) is
    'Sets a timer of the caller''s company, for SQL callers that hold the subject''s lock. Replaces the one of the same subject and purpose. Schedulers notice it when the transaction commits.';
revoke execute on function switchboard.set_timer(text, text, text, timestamptz) from public;

-- Leases --------------------------------------------------------------------------------------------------------------

create table switchboard.lease (
    company_id   uuid        not null references switchboard.company (id),
    subject_type text        not null,
    subject_id   text        not null,
    name         text        not null,
    owner        text,
    token        bigint      not null,
    expires_at   timestamptz not null,
    primary key (company_id, subject_type, subject_id, name),
    constraint owner_is_named check (owner <> '')
);
comment on table  switchboard.lease is 'Rights that a crash must not leak: each has an owner, an expiry and a fencing token. The row''s lock decides who gets it. A row stays when the lease ends, so that its tokens grow.';
comment on column switchboard.lease.company_id is 'The tenant.';
comment on column switchboard.lease.subject_type is 'What the right is about, as in the event log.';
comment on column switchboard.lease.subject_id is 'Which one.';
comment on column switchboard.lease.name is 'Which right, among those of one subject.';
comment on column switchboard.lease.owner is 'The request that has it, not its type: a repeat of the request finds its own. Null: it was given back.';
comment on column switchboard.lease.token is 'Grows with each grant, also after the row was deleted: at least the microseconds of the database''s clock. A holder shows it with each change; an older one changes nothing.';
comment on column switchboard.lease.expires_at is 'From this moment of switchboard.now() on anybody may have it.';

-- Idempotency keys ----------------------------------------------------------------------------------------------------

create table switchboard.idempotency_key (
    company_id   uuid        not null references switchboard.company (id),
    caller       text        not null,
    operation    text        not null,
    key          text        not null check (length(key) between 1 and 200),
    content_hash bytea       not null check (length(content_hash) = 32),
    outcome      json,
    inserted_at  timestamptz not null default switchboard.now(),
    primary key (company_id, caller, operation, key)
);
comment on table  switchboard.idempotency_key is 'Outcomes of calls that a client may repeat. Written by the first statement of the call''s transaction, so that a repeat waits for it; a call that fails leaves no row. Kept for SWITCHBOARD_IDEMPOTENCY_RETENTION.';
comment on column switchboard.idempotency_key.company_id is 'The tenant.';
comment on column switchboard.idempotency_key.caller is 'Claim sub of the caller; another caller''s keys are others.';
comment on column switchboard.idempotency_key.operation is 'What was called; the keys of each operation are its own.';
comment on column switchboard.idempotency_key.key is 'Chosen by the client, 1 to 200 characters.';
comment on column switchboard.idempotency_key.content_hash is 'SHA-256 of what was asked for: the same key with other content is an error.';
comment on column switchboard.idempotency_key.outcome is 'What the caller got, with the ids that were made. Null only inside the transaction that is deciding it.';
comment on column switchboard.idempotency_key.inserted_at is 'When the call was made.';

create index idempotency_key_age on switchboard.idempotency_key (inserted_at);
comment on index switchboard.idempotency_key_age is 'The oldest keys, which are deleted first.';
