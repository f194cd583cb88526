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
