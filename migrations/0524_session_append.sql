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
