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
