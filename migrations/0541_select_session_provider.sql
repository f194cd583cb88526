create function switchboard.select_session_provider(
    p_session_id text, p_user_id text, p_provider text, p_room_id text
) returns jsonb
    language plpgsql security definer
    set search_path = switchboard, pg_temp
    set lock_timeout = '2s'
as $$
declare
    v_company_id uuid := session_company();
    v_problem    text;
    v_session    session_coordination;
    v_before     session_coordination;
    v_provider   text;
    v_fallback   text;
    v_is_empty   boolean;
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

    -- Without a lock: after the first choice, joiners only read.
    select * into v_session from session_coordination where company_id = v_company_id and session_id = p_session_id;
    if v_session.active_provider <> 'none' and v_session.ended_at is null then
        return session_chosen(v_session, false);
    end if;

    v_problem := session_bad_id('room id', p_room_id);
    if v_problem is not null then
        return session_refused('BAD_USER_INPUT', v_problem);
    end if;
    perform session_ensure_providers(v_company_id);
    perform 1 from session_provider where company_id = v_company_id and name = p_provider;
    if not found then
        return session_refused('BAD_USER_INPUT', 'provider: unknown provider ' || coalesce(left(p_provider, 64), 'null'));
    end if;
    if session_choice_of(v_company_id, p_session_id, p_provider) is null then
        return session_refused('CONFLICT', 'no provider is enabled');
    end if;

    -- The row is there before it is locked: one statement cannot do both.
    insert into session_coordination (company_id, session_id)
    values (v_company_id, p_session_id)
    on conflict (company_id, session_id) do nothing;
    select * into strict v_before from session_coordination
    where company_id = v_company_id and session_id = p_session_id
    for no key update;
    if v_before.active_provider <> 'none' and v_before.ended_at is null then
        return session_chosen(v_before, false);
    end if;

    v_provider := session_choice_of(v_company_id, p_session_id, p_provider);
    if v_provider is null then
        -- The last one was disabled meanwhile. What this call inserted must not stay.
        delete from session_coordination
        where company_id = v_company_id and session_id = p_session_id and version = 0;
        return session_refused('CONFLICT', 'no provider is enabled');
    end if;
    perform session_take_probe(v_company_id, p_session_id, v_provider);
    v_fallback := session_next_provider(v_company_id, p_session_id, v_provider, false);
    v_is_empty := session_is_empty(v_company_id, p_session_id);
    v_now := switchboard.now();
    update session_coordination
    set active_provider = v_provider,
        fallback_provider = v_fallback,
        epoch = epoch + 1, room_id = p_room_id, selected_by = p_user_id, selected_at = v_now,
        recovery_from = null, recovery_reason = null, affected_users = '{}', awaited_users = '{}',
        awaited_until = null, last_provider_change = v_now, ended_at = null,
        empty_since = case when v_is_empty then v_now end,
        version = version + 1, updated_at = v_now
    where company_id = v_company_id and session_id = p_session_id
    returning * into strict v_session;
    perform session_append(v_session, v_before, 'SessionProviderSelected', p_user_id, '[]');
    return session_chosen(v_session, true);
end
$$;
comment on function switchboard.select_session_provider(text, text, text, text) is
    'The session''s provider: the one that was chosen, or p_provider if nobody has chosen yet. {success, provider, room_id, selected_by, is_new_selection, reason, epoch}. Locks: the session, only while it has no provider.';
revoke execute on function switchboard.select_session_provider(text, text, text, text) from public;
