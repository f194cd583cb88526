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
