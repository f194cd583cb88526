create function switchboard.heartbeat_ping(p_session_id text, p_user_id text) returns jsonb
    language plpgsql security definer
    set search_path = switchboard, pg_temp
    set lock_timeout = '2s'
as $$
declare
    v_company_id uuid := session_company();
    v_problem    text;
    v_outcome    text;
    v_now        timestamptz;
begin
    perform session_require_read_committed();
    if v_company_id is null then
        return session_refused('FORBIDDEN', 'set switchboard.company_id to a company that you are granted');
    end if;
    v_problem := coalesce(session_bad_id('session id', p_session_id), session_bad_id('user id', p_user_id));
    if v_problem is not null then
        return session_refused('BAD_USER_INPUT', v_problem);
    end if;
    v_now := switchboard.now();
    update session_health set last_ping = greatest(last_ping, v_now)
    where company_id = v_company_id and session_id = p_session_id and user_id = p_user_id
        and status <> 'DISCONNECTED';
    if not found then
        v_outcome := session_admit(v_company_id, p_session_id, p_user_id, null, false);
        if v_outcome = 'NOT_FOUND' then
            return session_refused(v_outcome, 'no such participant in this session');
        elsif v_outcome = 'CONFLICT' then
            return session_refused(v_outcome, 'the session has ended');
        end if;
    end if;
    return jsonb_build_object('success', true, 'ping_time', v_now);
end
$$;
comment on function switchboard.heartbeat_ping(text, text) is
    'A participant is there. Writes an event only if it was thought to be gone. {success, ping_time}. Locks: the participant''s row; the session, if it comes back.';
revoke execute on function switchboard.heartbeat_ping(text, text) from public;
