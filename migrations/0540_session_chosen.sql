create function switchboard.session_chosen(p_session switchboard.session_coordination, p_is_new boolean) returns jsonb
    language plpgsql immutable parallel safe
as $$
begin
    return jsonb_build_object(
        'success', true, 'provider', p_session.active_provider, 'room_id', p_session.room_id,
        'selected_by', p_session.selected_by, 'is_new_selection', p_is_new,
        'reason', case when p_is_new then 'Selected ' || p_session.active_provider || ' as first user'
            else 'Using existing ' || p_session.active_provider || ' selection by ' || p_session.selected_by end,
        'epoch', p_session.epoch);
end
$$;
comment on function switchboard.session_chosen(switchboard.session_coordination, boolean) is
    'The result of select_session_provider.';
