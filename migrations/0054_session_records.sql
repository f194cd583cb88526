-- The records of events, as the server decodes them, and how they are appended.

create function switchboard.session_user_record(p_user switchboard.session_participant) returns jsonb
    language plpgsql stable parallel safe
as $$
begin
    return jsonb_build_object(
        'userId', p_user.user_id, 'userName', p_user.user_name, 'connectionState', p_user.connection_state,
        'currentProvider', p_user.current_provider, 'isAudioMuted', p_user.is_audio_muted,
        'isVideoOff', p_user.is_video_off, 'lastSeen', p_user.last_seen,
        'reconnectAttempts', p_user.reconnect_attempts, 'deviceInfo', p_user.device_info,
        'joinedEpoch', p_user.joined_epoch);
end
$$;
comment on function switchboard.session_user_record(switchboard.session_participant) is 'A participant in an event''s payload.';

create function switchboard.session_record(p_session switchboard.session_coordination, p_changed jsonb) returns jsonb
    language plpgsql stable parallel safe
as $$
begin
    return jsonb_build_object(
        'companyId', p_session.company_id, 'sessionId', p_session.session_id,
        'activeProvider', p_session.active_provider, 'fallbackProvider', p_session.fallback_provider,
        'epoch', p_session.epoch, 'roomId', p_session.room_id, 'selectedBy', p_session.selected_by,
        'selectedAt', p_session.selected_at, 'recoveryFrom', p_session.recovery_from,
        'recoveryReason', p_session.recovery_reason, 'lastProviderChange', p_session.last_provider_change,
        'reconnectionInProgress', p_session.awaited_until is not null,
        'version', p_session.version, 'createdAt', p_session.created_at, 'endedAt', p_session.ended_at)
        || jsonb_build_object('changedUsers', p_changed);
end
$$;
comment on function switchboard.session_record(switchboard.session_coordination, jsonb) is
    'A session in an event''s payload: without its participants, but for those that the event is about.';

create function switchboard.session_append(
    p_after   switchboard.session_coordination,
    p_before  switchboard.session_coordination,
    p_type    text,
    p_actor   text,
    p_changed jsonb
) returns void
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
begin
    perform append_event(p_after.company_id, 'session', p_after.session_id, p_after.version, p_type,
        session_record(p_after, p_changed),
        case when p_before.version > 0 then session_record(p_before, p_changed) end,
        p_actor);
end
$$;
comment on function switchboard.session_append(
    switchboard.session_coordination, switchboard.session_coordination, text, text, jsonb) is
    'Appends the event of a change of a session, whose row is locked.';
revoke execute on function switchboard.session_append(
    switchboard.session_coordination, switchboard.session_coordination, text, text, jsonb) from public;

create function switchboard.session_provider_record(p_provider switchboard.session_provider) returns jsonb
    language sql stable parallel safe
    return jsonb_build_object(
        'companyId', p_provider.company_id, 'name', p_provider.name, 'rank', p_provider.rank,
        'state', p_provider.state, 'score', p_provider.score, 'version', p_provider.version);
comment on function switchboard.session_provider_record(switchboard.session_provider) is 'A provider in an event''s payload.';

create function switchboard.session_alert_record(p_alert switchboard.session_alert) returns jsonb
    language sql stable parallel safe
    return jsonb_build_object(
        'companyId', p_alert.company_id, 'id', p_alert.alert_id, 'sessionId', p_alert.session_id,
        'type', p_alert.type, 'severity', p_alert.severity, 'userIds', p_alert.user_ids,
        'message', p_alert.message, 'version', p_alert.version, 'raisedAt', p_alert.raised_at,
        'clearedAt', p_alert.cleared_at);
comment on function switchboard.session_alert_record(switchboard.session_alert) is 'An alert in an event''s payload.';

create function switchboard.session_is_empty(p_company_id uuid, p_session_id text) returns boolean
    language plpgsql volatile
    set search_path = switchboard, pg_temp
as $$
begin
    return not exists (
        select 1 from session_health
        where company_id = p_company_id and session_id = p_session_id and status <> 'DISCONNECTED'
    );
end
$$;
comment on function switchboard.session_is_empty(uuid, text) is 'True if nobody is present in the session.';
revoke execute on function switchboard.session_is_empty(uuid, text) from public;

insert into switchboard.event_subject (subject_type, relation, id_column, id_type, version_column, names) values
    ('session', 'session_coordination', 'session_id', 'text', 'version',
        '{companyId,sessionId,activeProvider,fallbackProvider,epoch,roomId,selectedBy,selectedAt,recoveryFrom,recoveryReason,lastProviderChange,reconnectionInProgress,version,createdAt,endedAt,changedUsers}'),
    ('session_quality', 'session_coordination', 'session_id', 'text', 'quality_version',
        '{companyId,sessionId,shouldRecover,recommendation,metrics,version}'),
    ('session_alert', 'session_alert', 'alert_id', 'text', 'version',
        '{companyId,id,sessionId,type,severity,userIds,message,version,raisedAt,clearedAt}'),
    ('session_provider', 'session_provider', 'name', 'text', 'version',
        '{companyId,name,rank,state,score,version}');
