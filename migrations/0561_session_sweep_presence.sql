create function switchboard.session_sweep_presence() returns integer
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_limit    constant integer := 500;
    v_now      timestamptz;
    v_resumed  timestamptz;
    v_settings session_settings;
    v_stale    interval;
    v_key      record;
    v_before   session_coordination;
    v_session  session_coordination;
    v_silent   text[];
    v_changed  jsonb;
    v_is_empty boolean;
    v_seen     integer := 0;
    v_swept    integer := 0;
begin
    select * into strict v_settings from session_settings;
    if session_take_turn('presence', v_settings.sweep_every * 0.9) is null then
        return 0;
    end if;
    v_now := switchboard.now();
    v_stale := v_settings.stale_after;
    -- After an outage the first stamp of a server notes its end, in one statement. Before that stamp nobody is judged.
    perform 1 from service_alive where stamped_at > v_now - interval '5 seconds';
    if not found then
        return 0;
    end if;
    v_resumed := coalesce(resumed_at(), '-infinity');
    for v_key in
        select company_id, session_id
        from session_health
        where status <> 'DISCONNECTED' and last_ping <= v_now - v_stale
            and v_resumed <= v_now - v_stale
        group by company_id, session_id
        order by company_id, session_id
        limit v_limit
    loop
        v_seen := v_seen + 1;
        select * into v_before from session_coordination
        where company_id = v_key.company_id and session_id = v_key.session_id
        for no key update skip locked;
        continue when not found;
        -- Judged again on each row as it is once it is locked: whoever was heard meanwhile stays.
        with silent as (
            update session_health
            set status = 'DISCONNECTED', disconnected_at = v_now
            where company_id = v_key.company_id and session_id = v_key.session_id
                and status <> 'DISCONNECTED' and last_ping <= v_now - v_stale
            returning user_id
        )
        select array_agg(user_id order by user_id) into v_silent from silent;
        continue when v_silent is null;
        with silent as (
            update session_participant
            set connection_state = case when connection_state = 'ENDED' then 'ENDED' else 'RECONNECTING' end
            where company_id = v_key.company_id and session_id = v_key.session_id and user_id = any (v_silent)
            returning session_participant
        )
        select jsonb_agg(session_user_record(session_participant)) into v_changed from silent;
        v_is_empty := session_is_empty(v_key.company_id, v_key.session_id);
        update session_coordination
        set awaited_users = array(select unnest(awaited_users) except select unnest(v_silent)),
            awaited_until = case when awaited_users <@ v_silent then null else awaited_until end,
            empty_since = case when v_is_empty then v_now end,
            version = version + 1, updated_at = v_now
        where company_id = v_key.company_id and session_id = v_key.session_id
        returning * into strict v_session;
        perform session_append(v_session, v_before, 'SessionUsersDisconnected', null, coalesce(v_changed, '[]'));
        v_swept := v_swept + cardinality(v_silent);
    end loop;
    for v_before in
        select * from session_coordination
        where awaited_until <= v_now
        order by company_id, session_id
        limit v_limit
        for no key update skip locked
    loop
        update session_coordination
        set awaited_users = '{}', awaited_until = null, version = version + 1, updated_at = v_now
        where company_id = v_before.company_id and session_id = v_before.session_id
        returning * into strict v_session;
        perform session_append(v_session, v_before, 'SessionReconnectionEnded', null, '[]');
    end loop;
    if v_seen = v_limit then
        -- More are due: the next turn begins at once.
        update session_duty set ran_at = v_now - interval '1 second' where duty = 'presence';
    end if;
    return v_swept;
end
$$;
comment on function switchboard.session_sweep_presence() is
    'Disconnects every participant that has been silent for too long: one event a session. Silence counts from the last ping, or from resumed_at(), the end of the last outage of all servers or of the database. Gives up waiting for participants after a switch. Returns how many were disconnected. Locks: the duty; sessions in the order of their keys, none that is locked; participants.';
revoke execute on function switchboard.session_sweep_presence() from public;
