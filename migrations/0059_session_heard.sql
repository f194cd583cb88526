-- Heartbeats and reports of health. The usual one changes one row in place; who was silent or is new comes back under the
-- session's lock.

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

create function switchboard.heartbeat_ping(p_session_id text, p_user_id text) returns jsonb
    language plpgsql security definer
    set search_path = switchboard, pg_temp
    set lock_timeout = '2s'
as $$
declare
    v_company_id uuid := session_company();
    v_problem    text;
    v_outcome    text;
    v_now        timestamptz;
begin
    perform session_require_read_committed();
    if v_company_id is null then
        return session_refused('FORBIDDEN', 'set switchboard.company_id to a company that you are granted');
    end if;
    v_problem := coalesce(session_bad_id('session id', p_session_id), session_bad_id('user id', p_user_id));
    if v_problem is not null then
        return session_refused('BAD_USER_INPUT', v_problem);
    end if;
    v_now := switchboard.now();
    update session_health set last_ping = greatest(last_ping, v_now)
    where company_id = v_company_id and session_id = p_session_id and user_id = p_user_id
        and status <> 'DISCONNECTED';
    if not found then
        v_outcome := session_admit(v_company_id, p_session_id, p_user_id, null, false);
        if v_outcome = 'NOT_FOUND' then
            return session_refused(v_outcome, 'no such participant in this session');
        elsif v_outcome = 'CONFLICT' then
            return session_refused(v_outcome, 'the session has ended');
        end if;
    end if;
    return jsonb_build_object('success', true, 'ping_time', v_now);
end
$$;
comment on function switchboard.heartbeat_ping(text, text) is
    'A participant is there. Writes an event only if it was thought to be gone. {success, ping_time}. Locks: the participant''s row; the session, if it comes back.';
revoke execute on function switchboard.heartbeat_ping(text, text) from public;

create function switchboard.heartbeat_pings(p_session_ids text[], p_user_ids text[])
    returns table (is_heard boolean, ping_time timestamptz)
    language plpgsql security definer
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
as $$
declare
    v_company_id uuid := session_company();
    v_now        timestamptz := switchboard.now();
begin
    if v_company_id is null then
        raise exception 'set switchboard.company_id to a company that you are granted' using errcode = 'insufficient_privilege';
    end if;
    return query
    with asked as materialized (
        select session_id, user_id, number
        from unnest(p_session_ids, p_user_ids) with ordinality as asked (session_id, user_id, number)
    ),
    -- Locked in one order, each once; who is locked by another is left to the caller.
    present as materialized (
        select asked.session_id, asked.user_id, health.place
        from (select distinct session_id, user_id from asked order by session_id, user_id) as asked
        cross join lateral (
            select session_health.ctid as place
            from session_health
            where session_health.company_id = v_company_id and session_health.session_id = asked.session_id
                and session_health.user_id = asked.user_id and session_health.status <> 'DISCONNECTED'
            for no key update skip locked
        ) as health
    ),
    heard as (
        update session_health
        set last_ping = greatest(session_health.last_ping, v_now)
        from present
        where session_health.ctid = present.place
        returning session_health.session_id, session_health.user_id
    )
    select heard.user_id is not null, v_now
    from asked
    left join heard on heard.session_id = asked.session_id and heard.user_id = asked.user_id
    order by asked.number;
end
$$;
comment on function switchboard.heartbeat_pings(text[], text[]) is
    'Heartbeats of many participants by one statement, a row for each in their order. is_heard false: call heartbeat_ping for that one. Locks: participants'' rows in the order of their keys, none that is locked.';
revoke execute on function switchboard.heartbeat_pings(text[], text[]) from public;

create function switchboard.update_session_health(
    p_session_id text, p_user_id text, p_status text, p_quality_metrics jsonb default null, p_epoch integer default null
) returns jsonb
    language plpgsql security definer
    set search_path = switchboard, pg_temp
    set lock_timeout = '2s'
as $$
declare
    v_company_id uuid := session_company();
    v_status     text := upper(p_status);
    v_metrics    jsonb := coalesce(nullif(p_quality_metrics, 'null'), '{}');
    v_problem    text;
    v_session    session_coordination;
    v_settings   session_settings;
    v_epoch      integer := p_epoch;
    v_latency    integer;
    v_loss       real;
    v_jitter     integer;
    v_bandwidth  integer;
    v_is_sample  boolean;
    v_of_epoch   boolean;
    v_outcome    text;
    v_now        timestamptz;
begin
    perform session_require_read_committed();
    if v_company_id is null then
        return session_refused('FORBIDDEN', 'set switchboard.company_id to a company that you are granted');
    end if;
    v_problem := coalesce(
        session_bad_id('session id', p_session_id), session_bad_id('user id', p_user_id),
        case when v_status is null
                or v_status not in ('CONNECTING', 'CONNECTED', 'RECONNECTING', 'DISCONNECTED', 'FAILED')
            then 'status: unknown' end,
        session_bad_metrics(v_metrics),
        case when p_epoch < 0 then 'epoch: must not be negative' end);
    if v_problem is not null then
        return session_refused('BAD_USER_INPUT', v_problem);
    end if;
    select * into v_session from session_coordination where company_id = v_company_id and session_id = p_session_id;
    if not found then
        return session_refused('NOT_FOUND', 'no such session');
    end if;
    if v_session.ended_at is not null then
        return session_refused('CONFLICT', 'the session has ended');
    end if;
    if p_epoch > v_session.epoch then
        return session_refused('BAD_USER_INPUT', 'epoch: the session has only reached ' || v_session.epoch);
    end if;
    select * into strict v_settings from session_settings;
    v_latency := round((v_metrics ->> 'latency')::numeric);
    v_jitter := round((v_metrics ->> 'jitter')::numeric);
    v_bandwidth := round((v_metrics ->> 'bandwidth')::numeric);
    v_loss := (v_metrics ->> 'packetLoss')::real;
    v_is_sample := v_latency is not null or v_loss is not null;
    if p_epoch is null then
        select joined_epoch into v_epoch from session_participant
        where company_id = v_company_id and session_id = p_session_id and user_id = p_user_id;
    end if;
    v_of_epoch := coalesce(v_epoch = v_session.epoch, false);

    -- Once for who is present; under the session's lock first for who is new, was silent, or says that it goes.
    for v_try in 1 .. 2 loop
        v_now := switchboard.now();
        if p_epoch < v_session.epoch then
            update session_health
            set last_ping = greatest(last_ping, v_now), old_reports = old_reports + 1,
                old_report = v_metrics || jsonb_build_object('status', v_status, 'epoch', p_epoch, 'at', v_now)
            where company_id = v_company_id and session_id = p_session_id and user_id = p_user_id
                and status <> 'DISCONNECTED';
        elsif v_status <> 'DISCONNECTED' then
            update session_health
            set last_ping = greatest(last_ping, v_now), status = v_status,
                connected_at = case when v_status = 'CONNECTED' then coalesce(connected_at, v_now) else connected_at end,
                latency = coalesce(v_latency, latency), packet_loss = coalesce(v_loss, packet_loss),
                jitter = coalesce(v_jitter, jitter), bandwidth = coalesce(v_bandwidth, bandwidth),
                video_quality = case when v_is_sample or v_metrics ? 'videoQuality' then
                    coalesce(upper(v_metrics ->> 'videoQuality'), session_quality(v_latency, v_loss, v_settings)) else video_quality end,
                audio_quality = case when v_is_sample or v_metrics ? 'audioQuality' then
                    coalesce(upper(v_metrics ->> 'audioQuality'), session_quality(v_latency, v_loss, v_settings)) else audio_quality end,
                device_type = coalesce(v_metrics ->> 'deviceType', device_type),
                network_type = coalesce(v_metrics ->> 'networkType', network_type),
                browser_info = coalesce(v_metrics ->> 'browserInfo', browser_info),
                sampled_at = case when v_is_sample then v_now else sampled_at end,
                score = case when v_is_sample then
                    session_smoothed(score, session_score(v_latency, v_jitter, v_loss)) else score end,
                poor_samples = case when v_is_sample then session_sampled(poor_samples,
                    coalesce(v_latency > v_settings.poor_latency, false)
                        or coalesce(v_loss > v_settings.poor_packet_loss, false)) else poor_samples end,
                -- Samples of an earlier epoch are about another provider.
                slow_samples = case when v_is_sample and v_of_epoch then session_sampled(
                    case when sampled_epoch = v_epoch then slow_samples else 0::smallint end,
                    coalesce(v_latency > v_settings.recover_latency, false)) else slow_samples end,
                lossy_samples = case when v_is_sample and v_of_epoch then session_sampled(
                    case when sampled_epoch = v_epoch then lossy_samples else 0::smallint end,
                    coalesce(v_loss > v_settings.recover_packet_loss, false)) else lossy_samples end,
                sampled_epoch = case when v_is_sample and v_of_epoch then v_epoch else sampled_epoch end
            where company_id = v_company_id and session_id = p_session_id and user_id = p_user_id
                and status <> 'DISCONNECTED';
        end if;
        if found and (v_status <> 'DISCONNECTED' or p_epoch < v_session.epoch) then
            exit;
        end if;
        v_outcome := session_admit(v_company_id, p_session_id, p_user_id,
            case when p_epoch < v_session.epoch then null else v_status end, true);
        if v_outcome = 'CONFLICT' then
            return session_refused(v_outcome, 'the session has ended');
        end if;
        exit when v_outcome <> 'PRESENT';
    end loop;
    return jsonb_build_object(
        'success', true, 'health_id', p_session_id || ':' || p_user_id,
        'connection_status', (select lower(status) from session_health
            where company_id = v_company_id and session_id = p_session_id and user_id = p_user_id),
        'last_ping', v_now);
end
$$;
comment on function switchboard.update_session_health(text, text, text, jsonb, integer) is
    'A participant''s health: its status and, at will, one sample of quality. A report with an older epoch counts as a heartbeat and is only kept. {success, health_id, connection_status, last_ping}. Locks: the participant''s row; the session, if it is new, comes back or goes.';
revoke execute on function switchboard.update_session_health(text, text, text, jsonb, integer) from public;
