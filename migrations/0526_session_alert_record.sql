create function switchboard.session_alert_record(p_alert switchboard.session_alert) returns jsonb
    language sql stable parallel safe
    return jsonb_build_object(
        'companyId', p_alert.company_id, 'id', p_alert.alert_id, 'sessionId', p_alert.session_id,
        'type', p_alert.type, 'severity', p_alert.severity, 'userIds', p_alert.user_ids,
        'message', p_alert.message, 'version', p_alert.version, 'raisedAt', p_alert.raised_at,
        'clearedAt', p_alert.cleared_at);
comment on function switchboard.session_alert_record(switchboard.session_alert) is 'An alert in an event''s payload.';
