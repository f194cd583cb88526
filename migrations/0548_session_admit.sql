create function switchboard.session_admit(
    p_company_id uuid, p_session_id text, p_user_id text, p_status text, p_may_create boolean
) returns text
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_before   session_coordination;
    v_session  session_coordination;
    v_health   session_health;
    v_user     session_participant;
    v_status   text := p_status;
    v_is_new   boolean;
    v_now      timestamptz;
begin
    select * into v_before from session_coordination
    where company_id = p_company_id and session_id = p_session_id
    for no key update;
    if not found then
        return 'NOT_FOUND';
    end if;
    if v_before.ended_at is not null then
        return 'CONFLICT';
    end if;
    v_now := switchboard.now();
    select * into v_health from session_health
    where company_id = p_company_id and session_id = p_session_id and user_id = p_user_id
    for no key update;
    v_is_new := not found;
    if v_is_new and not p_may_create then
        return 'NOT_FOUND';
    end if;
    if v_health.status <> 'DISCONNECTED' and p_status is distinct from 'DISCONNECTED' then
        return 'PRESENT';
    end if;
    if v_health.has_left then
        -- It said that it leaves. A report that was under way then does not bring it back.
        update session_health set last_ping = v_now
        where company_id = p_company_id and session_id = p_session_id and user_id = p_user_id;
        return 'LEFT';
    end if;
    if v_health.status = 'DISCONNECTED' and p_status = 'DISCONNECTED' then
        return 'LEFT';
    end if;
    select * into v_user from session_participant
    where company_id = p_company_id and session_id = p_session_id and user_id = p_user_id;
    -- A heartbeat says nothing about the state: it is again what it was.
    v_status := coalesce(p_status, case when v_user.was_connected then 'CONNECTED' else 'CONNECTING' end);
    insert into session_participant as participant
        (company_id, session_id, user_id, connection_state, was_connected, last_seen, inserted_at)
    values (p_company_id, p_session_id, p_user_id,
        case when v_status = 'DISCONNECTED' then 'RECONNECTING' else v_status end, v_status = 'CONNECTED', v_now, v_now)
    on conflict (company_id, session_id, user_id) do update
    set connection_state = excluded.connection_state, last_seen = excluded.last_seen,
        was_connected = participant.was_connected or excluded.was_connected,
        reconnect_attempts = participant.reconnect_attempts
            + case when v_status = 'DISCONNECTED' then 0 else 1 end
    returning * into strict v_user;
    insert into session_health as health
        (company_id, session_id, user_id, last_ping, status, connected_at, disconnected_at)
    values (p_company_id, p_session_id, p_user_id, v_now, v_status,
        case when v_status = 'CONNECTED' then v_now end, case when v_status = 'DISCONNECTED' then v_now end)
    on conflict (company_id, session_id, user_id) do update
    set last_ping = excluded.last_ping, status = excluded.status,
        connected_at = coalesce(excluded.connected_at, health.connected_at),
        disconnected_at = excluded.disconnected_at;
    v_session := v_before;
    if v_status <> 'DISCONNECTED' then
        v_session.empty_since := null;
    else
        v_session.awaited_users := array_remove(v_session.awaited_users, p_user_id);
        if v_session.awaited_users = '{}' then
            v_session.awaited_until := null;
        end if;
        if session_is_empty(p_company_id, p_session_id) then
            v_session.empty_since := v_now;
        end if;
    end if;
    update session_coordination
    set empty_since = v_session.empty_since, awaited_users = v_session.awaited_users,
        awaited_until = v_session.awaited_until, version = version + 1, updated_at = v_now
    where company_id = p_company_id and session_id = p_session_id
    returning * into strict v_session;
    perform session_append(v_session, v_before,
        case when v_status = 'DISCONNECTED' then 'SessionUserDisconnected' when v_is_new then 'SessionUserJoined'
            else 'SessionUserReconnected' end,
        p_user_id, jsonb_build_array(session_user_record(v_user)));
    return case when v_status = 'DISCONNECTED' then 'LEFT' else 'PRESENT' end;
end
$$;
comment on function switchboard.session_admit(uuid, text, text, text, boolean) is
    'Brings a participant back that was silent, creates one (p_may_create), or disconnects one that says so: one event. p_status: null for a heartbeat. PRESENT, LEFT, NOT_FOUND or CONFLICT. Locks: the session, the participant.';
revoke execute on function switchboard.session_admit(uuid, text, text, text, boolean) from public;
