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
