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
