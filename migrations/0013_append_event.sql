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
    language plpgsql
    security definer
    set search_path = switchboard, pg_temp
as $$
declare
    v_subject  event_subject;
    v_version  integer;
    v_newest   integer;
    v_missing  text;
    v_before   jsonb := p_before;
    v_previous jsonb;
    v_scopes   bigint[];
    v_at       timestamptz;
begin
    -- Callers other than the owner of the schema act for companies that their role is granted.
    perform 1 from pg_namespace where nspname = 'switchboard' and pg_get_userbyid(nspowner) = session_user;
    if not found then
        if p_company_id is distinct from require_sql_company() then
            raise exception 'not the company of this caller' using errcode = 'insufficient_privilege';
        end if;
    end if;
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'append_event works under read committed only' using errcode = 'invalid_transaction_state';
    end if;
    select * into v_subject from event_subject where subject_type = p_subject_type;
    if not found then
        raise exception 'unknown subject type %', p_subject_type using errcode = 'invalid_parameter_value';
    end if;
    select name into v_missing from unnest(v_subject.names) as name where not p_payload ? name limit 1;
    if found then
        raise exception 'the payload of % lacks %', p_subject_type, v_missing
            using errcode = 'invalid_parameter_value';
    end if;

    -- Readers rely on it: a visible event is a flushed event. Until the end of the transaction.
    if current_setting('synchronous_commit') = 'off' then
        perform set_config('synchronous_commit', 'on', true);
    end if;

    -- The caller holds this lock, since it has just raised the version. If another transaction holds it, the caller has
    -- not: then it fails at once.
    execute format(
        'select %I from switchboard.%I where company_id = $1 and %I = $2::%s for no key update nowait',
        v_subject.version_column, v_subject.relation, v_subject.id_column, v_subject.id_type)
        into v_version using p_company_id, p_subject_id;
    if v_version is distinct from p_version then
        raise exception '% % has version %, not %', p_subject_type, p_subject_id, v_version, p_version
            using errcode = 'invalid_parameter_value';
    end if;
    select version, payload into v_newest, v_before
    from event
    where company_id = p_company_id and subject_type = p_subject_type and subject_id = p_subject_id
    order by version desc
    limit 1;
    if v_newest <> p_version - 1 then
        raise exception 'the newest event of % % has version %, so % does not follow it',
            p_subject_type, p_subject_id, v_newest, p_version using errcode = 'invalid_parameter_value';
    end if;

    -- Earlier values of what changed, as the server computes them: by them a filtered stream sees that a record left it.
    v_before := coalesce(p_before, v_before);
    if v_before is not null then
        select coalesce(jsonb_object_agg(name, value), '{}') into v_previous
        from jsonb_each(v_before) as earlier (name, value)
        where p_payload -> name is distinct from value;
    elsif p_version > 1 then
        raise exception 'the log no longer holds version % of % %: give the record before as p_before',
            p_version - 1, p_subject_type, p_subject_id using errcode = 'invalid_parameter_value';
    end if;

    -- The scopes that the subject is in now, and those that it was in before, as the server computes them.
    select coalesce(array_agg(distinct event_scope_key(p_company_id, p_subject_type, field, record ->> field)), '{}')
    into v_scopes
    from unnest(v_subject.scope_fields) as field
    cross join (values (p_payload), (v_before)) as change (record)
    where jsonb_typeof(record -> field) = 'string';

    insert into event (company_id, subject_type, subject_id, version, type, actor, payload, previous, scopes)
    values (p_company_id, p_subject_type, p_subject_id, p_version, p_type, p_actor, p_payload::text::json,
        v_previous::text::json, v_scopes)
    returning occurred_at into v_at;

    -- A commit with NOTIFY takes a lock of the whole cluster until it is flushed, and such commits go one by one. So of
    -- all transactions that append at once only one notifies, and the others are not slower by it; after such a wake-up
    -- the servers look again several times, for those that commit a little later. 2021041 names this lock.
    if pg_try_advisory_xact_lock(2021041) then
        perform pg_notify('switchboard_event', 'sql');
    end if;
    return v_at;
end
$$;
comment on function switchboard.append_event(uuid, text, text, integer, text, jsonb, jsonb, text) is
    'Appends one event about a subject whose row the caller''s transaction has changed, at the version that the row has now. p_payload: the record after the change, with the names that the server uses. p_before: the record before; null: as in the newest event. By both the event gets its keys for narrowed streams. A caller other than the owner of the schema acts for the company that require_sql_company() gives. Returns the event''s time, which is read under the subject''s lock. Fails unless the version is the row''s and follows the newest event''s. Forces synchronous_commit on. Locks: the subject''s row.';
revoke execute on function switchboard.append_event(uuid, text, text, integer, text, jsonb, jsonb, text) from public;
