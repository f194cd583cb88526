create function switchboard.coordinate_provider_recovery(
    p_session_id text, p_failed_provider text, p_initiated_by text, p_epoch integer default null,
    p_reason text default null, p_kind text default 'failure'
) returns jsonb
    language plpgsql security definer
    set search_path = switchboard, pg_temp
    set lock_timeout = '2s'
as $$
declare
    v_company_id uuid := session_company();
    v_quality    boolean := lower(p_kind) = 'quality';
    v_problem    text;
    v_settings   session_settings;
    v_before     session_coordination;
    v_session    session_coordination;
    v_joined     integer;
    v_counts     boolean;
    v_next       text;
    v_fallback   text;
    v_reason     text;
    v_affected   text[];
    v_now        timestamptz;
begin
    perform session_require_read_committed();
    if v_company_id is null then
        return session_refused('FORBIDDEN', 'set switchboard.company_id to a company that you are granted');
    end if;
    v_problem := coalesce(
        session_bad_id('session id', p_session_id), session_bad_id('initiated by', p_initiated_by),
        case when lower(p_kind) not in ('failure', 'quality') or p_kind is null then 'kind: must be failure or quality' end,
        case when p_epoch < 0 then 'epoch: must not be negative' end,
        case when length(p_reason) > 1000 then 'reason: must have at most 1000 characters' end);
    if v_problem is null then
        perform session_ensure_providers(v_company_id);
        perform 1 from session_provider where company_id = v_company_id and name = p_failed_provider;
        if not found then
            v_problem := 'failed provider: unknown provider ' || coalesce(left(p_failed_provider, 64), 'null');
        end if;
    end if;
    if v_problem is not null then
        return session_refused('BAD_USER_INPUT', v_problem);
    end if;

    select * into v_before from session_coordination
    where company_id = v_company_id and session_id = p_session_id
    for no key update;
    if not found then
        return session_refused('NOT_FOUND', 'no such session');
    end if;
    if v_before.ended_at is not null then
        return session_refused('CONFLICT', 'the session has ended');
    end if;
    if v_before.active_provider = 'none' then
        return session_refused('CONFLICT', 'no provider has been chosen');
    end if;
    if p_epoch > v_before.epoch then
        return session_refused('BAD_USER_INPUT', 'epoch: the session has only reached ' || v_before.epoch);
    end if;
    select * into strict v_settings from session_settings;
    v_now := switchboard.now();

    if p_failed_provider <> v_before.active_provider then
        if p_failed_provider = v_before.recovery_from and coalesce(p_epoch, v_before.epoch - 1) = v_before.epoch - 1 then
            return session_recovery_result(v_before, 'JOINED', p_failed_provider, p_initiated_by,
                v_before.recovery_reason, v_before.affected_users);
        end if;
        return session_recovery_result(v_before, 'STALE', p_failed_provider, p_initiated_by,
            p_failed_provider || ' is not the session''s provider', '{}');
    end if;
    if p_epoch is null then
        -- It may be late, and about an earlier time on the same provider.
        select joined_epoch into v_joined from session_participant
        where company_id = v_company_id and session_id = p_session_id and user_id = p_initiated_by;
        v_counts := coalesce(v_joined = v_before.epoch, false)
            or v_before.last_provider_change + v_settings.settle <= v_now;
    else
        v_counts := p_epoch = v_before.epoch;
    end if;
    if not v_counts then
        return session_recovery_result(v_before, 'STALE', p_failed_provider, p_initiated_by,
            'The report is about an earlier choice', '{}');
    end if;
    if v_quality and v_before.last_provider_change + v_settings.dwell > v_now then
        return session_recovery_result(v_before, 'DWELL', p_failed_provider, p_initiated_by,
            'The provider was changed too short a time ago', '{}');
    end if;
    v_next := session_next_provider(v_company_id, p_session_id, p_failed_provider, v_quality);
    if v_next is null then
        return session_recovery_result(v_before, 'NO_PROVIDER', p_failed_provider, p_initiated_by,
            'No other provider can be used', '{}');
    end if;

    v_reason := coalesce(nullif(p_reason, ''), case when v_quality then 'Poor quality on ' || p_failed_provider
        else 'Provider ' || p_failed_provider || ' failed' end);
    select coalesce(array_agg(user_id order by user_id), '{}') into v_affected
    from session_participant
    join session_health using (company_id, session_id, user_id)
    where company_id = v_company_id and session_id = p_session_id
        and was_connected and connection_state <> 'ENDED' and status <> 'DISCONNECTED';
    insert into session_cooling (company_id, session_id, provider, failed_at)
    values (v_company_id, p_session_id, p_failed_provider, v_now)
    on conflict (company_id, session_id, provider) do update set failed_at = excluded.failed_at;
    perform session_take_probe(v_company_id, p_session_id, v_next);
    perform session_provider_did(v_company_id, p_failed_provider, p_session_id, v_before.epoch, false, v_now);
    v_fallback := session_next_provider(v_company_id, p_session_id, v_next, false);
    update session_coordination
    set active_provider = v_next, fallback_provider = v_fallback,
        epoch = epoch + 1, selected_by = p_initiated_by, selected_at = v_now,
        recovery_from = p_failed_provider, recovery_reason = v_reason,
        affected_users = v_affected, awaited_users = v_affected,
        awaited_until = case when v_affected <> '{}' then v_now + v_settings.regroup end,
        last_provider_change = v_now, version = version + 1, updated_at = v_now
    where company_id = v_company_id and session_id = p_session_id
    returning * into strict v_session;
    perform session_append(v_session, v_before, 'SessionProviderSwitched', p_initiated_by, '[]');
    return session_recovery_result(v_session, 'SWITCHED', p_failed_provider, p_initiated_by, v_reason, v_affected);
end
$$;
comment on function switchboard.coordinate_provider_recovery(text, text, text, integer, text, text) is
    'Takes everybody off a failed provider, by compare-and-set on (epoch, failed provider). {success, outcome, failed_provider, new_provider, room_id, affected_users, initiated_by, recovery_reason, epoch}; outcome SWITCHED, JOINED, STALE, DWELL or NO_PROVIDER. Locks: the session, then the provider that is tried.';
revoke execute on function switchboard.coordinate_provider_recovery(text, text, text, integer, text, text) from public;
