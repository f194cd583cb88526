create function switchboard.session_recovery_result(
    p_session switchboard.session_coordination, p_outcome text, p_failed text, p_by text, p_reason text, p_affected text[]
) returns jsonb
    language plpgsql immutable parallel safe
as $$
begin
    return jsonb_build_object(
        'success', true, 'outcome', p_outcome, 'failed_provider', p_failed,
        'new_provider', p_session.active_provider, 'room_id', p_session.room_id,
        'affected_users', to_jsonb(p_affected), 'initiated_by', p_by, 'recovery_reason', p_reason,
        'epoch', p_session.epoch);
end
$$;
comment on function switchboard.session_recovery_result(
    switchboard.session_coordination, text, text, text, text, text[]) is
    'The result of coordinate_provider_recovery: what is in force now.';
