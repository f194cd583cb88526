-- What SQL callers read. Unknown sessions have an empty shape; nothing here changes anything.

create function switchboard.get_session_coordination_info(p_session_id text) returns jsonb
    language plpgsql security definer
    set search_path = switchboard, pg_temp
as $$
declare
    v_company_id uuid := session_company();
begin
    if v_company_id is null then
        return session_refused('FORBIDDEN', 'set switchboard.company_id to a company that you are granted');
    end if;
    return (
        select jsonb_build_object(
            'session', jsonb_build_object(
                'sessionId', session.session_id, 'activeProvider', session.active_provider,
                'fallbackProvider', session.fallback_provider,
                'roomInfo', jsonb_build_object(
                    'roomId', session.room_id, 'provider', session.active_provider,
                    'selectedBy', session.selected_by, 'selectedAt', session.selected_at),
                'lastProviderChange', session.last_provider_change,
                'reconnectionInProgress', session.awaited_until is not null and session.awaited_until > moment.now,
                'epoch', session.epoch, 'version', session.version, 'endedAt', session.ended_at),
            'users', coalesce(users.list, '[]'))
        from session_coordination as session
        cross join (select switchboard.now() as now) as moment
        left join lateral (
            select jsonb_agg(record || jsonb_build_object('connectionState', lower(record ->> 'connectionState'))) as list
            from (
                select session_user_record(participant) as record
                from session_participant as participant
                where participant.company_id = v_company_id and participant.session_id = p_session_id
                order by participant.user_id
                limit 1000
            ) as listed
        ) as users on true
        where session.company_id = v_company_id and session.session_id = p_session_id
    );
end
$$;
comment on function switchboard.get_session_coordination_info(text) is
    '{session: {…}, users: […]}; null for an unknown session.';
revoke execute on function switchboard.get_session_coordination_info(text) from public;

create function switchboard.get_session_health_overview(p_session_id text) returns jsonb
    language plpgsql security definer
    set search_path = switchboard, pg_temp
as $$
declare
    v_company_id uuid := session_company();
    v_refused    jsonb := '{}';
    v_now        timestamptz := switchboard.now();
    v_resumed    timestamptz := resumed_at();
    v_stale      interval;
begin
    if v_company_id is null then
        v_refused := session_refused('FORBIDDEN', 'set switchboard.company_id to a company that you are granted');
    end if;
    select stale_after into strict v_stale from session_settings;
    return v_refused || (
        select jsonb_build_object(
            'sessionId', p_session_id, 'generatedAt', v_now,
            'users', coalesce(jsonb_agg(jsonb_build_object(
                'userId', health.user_id, 'userName', participant.user_name, 'connectionStatus', lower(health.status),
                'videoQuality', lower(health.video_quality), 'audioQuality', lower(health.audio_quality),
                'networkLatency', health.latency, 'packetLossPercent', health.packet_loss,
                'jitter', health.jitter, 'bandwidthKbps', health.bandwidth, 'score', health.score,
                'pingAgeSeconds', greatest(extract(epoch from v_now - health.last_ping), 0), 'lastPing', health.last_ping,
                'connectedAt', health.connected_at, 'disconnectedAt', health.disconnected_at,
                'deviceType', health.device_type, 'networkType', health.network_type) order by health.user_id)
                filter (where health.number <= 1000), '[]'),
            'stats', jsonb_build_object(
                'totalUsers', count(health.user_id),
                'connectedUsers', count(*) filter (where health.status = 'CONNECTED'),
                'reconnectingUsers', count(*) filter (where health.status = 'RECONNECTING'),
                'failedUsers', count(*) filter (where health.status = 'FAILED'),
                'staleConnections', count(*) filter (where not health.has_left
                    and (health.status = 'DISCONNECTED' or health.heard + v_stale <= v_now)),
                'avgLatency', avg(health.latency)::double precision,
                'avgPacketLoss', avg(health.packet_loss)::double precision,
                'avgBandwidth', avg(health.bandwidth)::double precision))
        from (
            select session_health.*, row_number() over (order by user_id) as number,
                greatest(last_ping, v_resumed) as heard
            from session_health
            where company_id = v_company_id and session_id = p_session_id
        ) as health
        left join session_participant as participant
            on participant.company_id = v_company_id and participant.session_id = p_session_id
            and participant.user_id = health.user_id
    );
end
$$;
comment on function switchboard.get_session_health_overview(text) is
    'The health of a session''s participants, at most 1,000 of them, and figures about all.';
revoke execute on function switchboard.get_session_health_overview(text) from public;

create function switchboard.detect_stale_connections(p_session_id text) returns jsonb
    language plpgsql security definer
    set search_path = switchboard, pg_temp
as $$
declare
    v_company_id uuid := session_company();
    v_refused    jsonb := '{}';
    v_now        timestamptz := switchboard.now();
    v_resumed    timestamptz := resumed_at();
    v_stale      interval;
begin
    if v_company_id is null then
        v_refused := session_refused('FORBIDDEN', 'set switchboard.company_id to a company that you are granted');
    end if;
    select stale_after into strict v_stale from session_settings;
    return v_refused || (
        select jsonb_build_object(
            'stale_users_detected', count(*) filter (where is_stale) > 0,
            'stale_user_ids', coalesce(jsonb_agg(user_id order by user_id) filter (where is_stale), '[]'),
            'recovery_needed', count(*) filter (where is_stale) >= 2
                and 2 * count(*) filter (where is_stale) >= count(*))
        from (
            select user_id, status = 'DISCONNECTED'
                or greatest(last_ping, v_resumed) + v_stale <= v_now as is_stale
            from session_health
            where company_id = v_company_id and session_id = p_session_id and not has_left
        ) as expected
    );
end
$$;
comment on function switchboard.detect_stale_connections(text) is
    '{stale_users_detected, stale_user_ids, recovery_needed}: who is silent. Marks nothing.';
revoke execute on function switchboard.detect_stale_connections(text) from public;

create function switchboard.recommend_quality_recovery(p_session_id text) returns jsonb
    language plpgsql security definer
    set search_path = switchboard, pg_temp
as $$
declare
    v_company_id uuid := session_company();
    v_refused    jsonb := '{}';
begin
    if v_company_id is null then
        v_refused := session_refused('FORBIDDEN', 'set switchboard.company_id to a company that you are granted');
    end if;
    return v_refused || coalesce(
        (
            select jsonb_build_object(
                'recommendation', recommendation, 'should_recover', should_recover, 'metrics', metrics)
            from session_quality_now
            where company_id = v_company_id and session_id = p_session_id
        ),
        '{"recommendation": "none", "should_recover": false, "metrics": {"latency": null, "packetLoss": null, "users": 0}}');
end
$$;
comment on function switchboard.recommend_quality_recovery(text) is
    '{recommendation, should_recover, metrics}: whether quality is a reason to leave the provider.';
revoke execute on function switchboard.recommend_quality_recovery(text) from public;

create function switchboard.get_session_health_alerts(p_session_id text) returns jsonb
    language plpgsql security definer
    set search_path = switchboard, pg_temp
as $$
declare
    v_company_id uuid := session_company();
    v_refused    jsonb := '{}';
begin
    if v_company_id is null then
        v_refused := session_refused('FORBIDDEN', 'set switchboard.company_id to a company that you are granted');
    end if;
    return v_refused || jsonb_build_object('alerts', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'type', lower(type), 'severity', lower(severity), 'count', cardinality(user_ids),
            'message', message, 'userIds', to_jsonb(user_ids)) order by type), '[]')
        from session_alert_now
        where company_id = v_company_id and session_id = p_session_id
    ));
end
$$;
comment on function switchboard.get_session_health_alerts(text) is '{alerts: [{type, severity, count, message}]}: what is wrong now.';
revoke execute on function switchboard.get_session_health_alerts(text) from public;
