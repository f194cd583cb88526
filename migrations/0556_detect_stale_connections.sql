create function switchboard.detect_stale_connections(p_session_id text) returns jsonb
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
            'stale_users_detected', count(*) filter (where is_stale) > 0,
            'stale_user_ids', coalesce(jsonb_agg(user_id order by user_id) filter (where is_stale), '[]'),
            'recovery_needed', count(*) filter (where is_stale) >= 2
                and 2 * count(*) filter (where is_stale) >= count(*))
        from (
            select user_id, status = 'DISCONNECTED'
                or greatest(last_ping, v_resumed) + v_stale <= v_now as is_stale
            from session_health
            where company_id = v_company_id and session_id = p_session_id and not has_left
        ) as expected
    );
end
$$;
comment on function switchboard.detect_stale_connections(text) is
    '{stale_users_detected, stale_user_ids, recovery_needed}: who is silent. Marks nothing.';
revoke execute on function switchboard.detect_stale_connections(text) from public;
