create function switchboard.update_user_session_state(
    p_session_id text, p_user_id text, p_user_name text, p_connection_state text, p_current_provider text,
    p_device_info jsonb default '{}', p_epoch integer default null,
    p_is_audio_muted boolean default null, p_is_video_off boolean default null
) returns jsonb
    language plpgsql security definer
    set search_path = switchboard, pg_temp
    set lock_timeout = '2s'
as $$
declare
    v_company_id uuid := session_company();
    v_state      text := upper(p_connection_state);
    v_device     jsonb := coalesce(nullif(p_device_info, 'null'), '{}');
    v_problem    text;
    v_before     session_coordination;
    v_session    session_coordination;
    v_user       session_participant;
    v_was        session_participant;
    v_health     session_health;
    v_is_old     boolean;
    v_is_stale   boolean;
    v_joins      boolean;
    v_reopens    boolean;
    v_now        timestamptz;
begin
    perform session_require_read_committed();
    if v_company_id is null then
        return session_refused('FORBIDDEN', 'set switchboard.company_id to a company that you are granted');
    end if;
    v_problem := coalesce(
        session_bad_id('session id', p_session_id), session_bad_id('user id', p_user_id),
        case when length(p_user_name) > 200 then 'user name: must have at most 200 characters' end,
        case when v_state is null
                or v_state not in ('INITIALIZING', 'CONNECTING', 'CONNECTED', 'RECONNECTING', 'FAILED', 'ENDED')
            then 'connection state: unknown' end,
        case when jsonb_typeof(v_device) <> 'object' then 'device info: must be an object' end,
        case when octet_length(v_device::text) > 8192 then 'device info: must have at most 8 KiB' end,
        case when p_epoch < 0 then 'epoch: must not be negative' end);
    if v_problem is null and p_current_provider is distinct from 'none' then
        perform session_ensure_providers(v_company_id);
        perform 1 from session_provider where company_id = v_company_id and name = p_current_provider;
        if not found then
            v_problem := 'current provider: unknown provider ' || coalesce(left(p_current_provider, 64), 'null');
        end if;
    end if;
    if v_problem is not null then
        return session_refused('BAD_USER_INPUT', v_problem);
    end if;

    select * into v_before from session_coordination
    where company_id = v_company_id and session_id = p_session_id
    for no key update;
    if not found then
        if p_epoch > 0 then
            return session_refused('BAD_USER_INPUT', 'epoch: the session has not begun');
        end if;
        insert into session_coordination (company_id, session_id)
        values (v_company_id, p_session_id)
        on conflict (company_id, session_id) do nothing;
        select * into strict v_before from session_coordination
        where company_id = v_company_id and session_id = p_session_id
        for no key update;
    end if;
    if p_epoch > v_before.epoch then
        return session_refused('BAD_USER_INPUT', 'epoch: the session has only reached ' || v_before.epoch);
    end if;
    v_now := switchboard.now();
    select * into v_was from session_participant
    where company_id = v_company_id and session_id = p_session_id and user_id = p_user_id;
    select * into v_health from session_health
    where company_id = v_company_id and session_id = p_session_id and user_id = p_user_id
    for no key update;
    v_reopens := v_before.ended_at is not null and v_state <> 'ENDED';
    if v_before.ended_at is not null and v_state = 'ENDED' then
        return session_refused('CONFLICT', 'the session has ended');
    end if;
    v_is_old := coalesce(p_epoch < v_before.epoch, false) and v_was.user_id is not null;
    v_is_stale := coalesce(v_health.status = 'DISCONNECTED' and not v_health.has_left, false);
    v_joins := p_current_provider = v_before.active_provider and p_current_provider <> 'none'
        and coalesce(p_epoch = v_before.epoch, true) and not v_reopens;

    -- The participant as it is after the report.
    v_user := v_was;
    if v_was.user_id is null then
        v_user := row(v_company_id, p_session_id, p_user_id, p_user_name, v_state, 'none', null, false, false, false,
            '{}', 0, v_now, v_now)::session_participant;
    end if;
    v_user.last_seen := v_now;
    if v_is_stale and v_state <> 'ENDED' then
        v_user.reconnect_attempts := v_user.reconnect_attempts + 1;
    end if;
    if v_is_old then
        if v_is_stale then
            v_user.connection_state := case when v_user.was_connected then 'CONNECTED' else 'CONNECTING' end;
        end if;
    else
        v_user.connection_state := v_state;
        v_user.user_name := coalesce(p_user_name, v_user.user_name);
        v_user.device_info := case when v_device = '{}' then v_user.device_info else v_device end;
        v_user.is_audio_muted := coalesce(p_is_audio_muted, session_flag(v_device, 'is_audio_muted'), v_user.is_audio_muted);
        v_user.is_video_off := coalesce(p_is_video_off, session_flag(v_device, 'is_video_off'), v_user.is_video_off);
        v_user.was_connected := v_user.was_connected or v_state = 'CONNECTED';
        if v_joins then
            v_user.current_provider := p_current_provider;
            v_user.joined_epoch := v_before.epoch;
        end if;
    end if;
    insert into session_participant select v_user.*
    on conflict (company_id, session_id, user_id) do update
    set user_name = excluded.user_name, connection_state = excluded.connection_state,
        current_provider = excluded.current_provider, joined_epoch = excluded.joined_epoch,
        was_connected = excluded.was_connected, is_audio_muted = excluded.is_audio_muted,
        is_video_off = excluded.is_video_off, device_info = excluded.device_info,
        reconnect_attempts = excluded.reconnect_attempts, last_seen = excluded.last_seen;
    insert into session_health (company_id, session_id, user_id, last_ping, status, has_left, connected_at, disconnected_at)
    values (v_company_id, p_session_id, p_user_id, v_now,
        case when v_is_old and not v_is_stale then v_health.status else session_health_of(v_user.connection_state) end,
        v_user.connection_state = 'ENDED', case when v_user.connection_state = 'CONNECTED' then v_now end,
        case when v_user.connection_state = 'ENDED' then v_now end)
    on conflict (company_id, session_id, user_id) do update
    set last_ping = excluded.last_ping, status = excluded.status, has_left = excluded.has_left,
        connected_at = case when session_health.status = 'DISCONNECTED' then excluded.connected_at
            else coalesce(session_health.connected_at, excluded.connected_at) end,
        disconnected_at = case when session_health.has_left and excluded.has_left then session_health.disconnected_at
            else excluded.disconnected_at end;

    -- The session as it is after the report.
    v_session := v_before;
    if v_reopens then
        v_session.ended_at := null;
        v_session.active_provider := 'none';
        v_session.fallback_provider := null;
        v_session.room_id := null;
        v_session.recovery_from := null;
        v_session.recovery_reason := null;
    end if;
    if v_user.joined_epoch = v_session.epoch or v_user.connection_state = 'ENDED' then
        v_session.awaited_users := array_remove(v_session.awaited_users, p_user_id);
        if v_session.awaited_users = '{}' then
            v_session.awaited_until := null;
        end if;
    end if;
    if v_user.connection_state <> 'ENDED' then
        v_session.empty_since := null;
    elsif v_session.empty_since is null and session_is_empty(v_company_id, p_session_id) then
        v_session.empty_since := v_now;
    end if;
    if v_user.connection_state = 'CONNECTED' and v_user.joined_epoch = v_session.epoch
        and v_session.active_provider <> 'none' and v_session.succeeded_epoch < v_session.epoch then
        v_session.succeeded_epoch := v_session.epoch;
        perform session_provider_did(v_company_id, v_session.active_provider, p_session_id, v_session.epoch, true, v_now);
    end if;
    v_was.last_seen := v_user.last_seen;
    if v_session is distinct from v_before or v_user is distinct from v_was then
        update session_coordination
        set active_provider = v_session.active_provider, fallback_provider = v_session.fallback_provider,
            room_id = v_session.room_id, recovery_from = v_session.recovery_from,
            recovery_reason = v_session.recovery_reason, awaited_users = v_session.awaited_users,
            awaited_until = v_session.awaited_until, succeeded_epoch = v_session.succeeded_epoch,
            empty_since = v_session.empty_since, ended_at = v_session.ended_at,
            version = version + 1, updated_at = v_now
        where company_id = v_company_id and session_id = p_session_id
        returning * into strict v_session;
        perform session_append(v_session, v_before,
            case
                when v_reopens then 'SessionReopened'
                when v_before.version = 0 then 'SessionCreated'
                when v_was.user_id is null then 'SessionUserJoined'
                when v_user.connection_state = 'ENDED' then 'SessionUserLeft'
                when v_is_stale then 'SessionUserReconnected'
                else 'SessionUserChanged'
            end,
            p_user_id, jsonb_build_array(session_user_record(v_user)));
    end if;
    return jsonb_build_object(
        'success', true, 'session_id', p_session_id, 'user_id', p_user_id,
        'connection_state', lower(v_user.connection_state), 'current_provider', v_user.current_provider,
        'epoch', v_session.epoch);
end
$$;
comment on function switchboard.update_user_session_state(
    text, text, text, text, text, jsonb, integer, boolean, boolean) is
    'A participant''s state, which creates the session and the participant. It joins the present epoch only with a report that names the active provider and carries no older epoch; of a report with an older epoch only the time counts. {success, session_id, user_id, connection_state, current_provider}. Locks: the session, the participant.';
revoke execute on function switchboard.update_user_session_state(
    text, text, text, text, text, jsonb, integer, boolean, boolean) from public;
