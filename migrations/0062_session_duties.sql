-- What servers do for all sessions, one at a time each: presence, providers' scores, health, clean-up.

create function switchboard.session_take_turn(p_duty text, p_every interval) returns timestamptz
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_now  timestamptz := switchboard.now();
    v_turn session_duty;
begin
    select * into v_turn from session_duty where duty = p_duty for no key update skip locked;
    -- A turn in the future was taken under a clock that has been set back since.
    if not found or (v_turn.ran_at + p_every > v_now and v_turn.ran_at <= v_now) then
        return null;
    end if;
    update session_duty set ran_at = v_now where duty = p_duty;
    return v_turn.ran_at;
end
$$;
comment on function switchboard.session_take_turn(text, interval) is
    'The time of the last turn, if the caller''s transaction does this duty now: nobody else does, and that turn is long enough ago. Else null. Locks: the duty, skipping what is locked.';
revoke execute on function switchboard.session_take_turn(text, interval) from public;

create function switchboard.session_sweep_presence() returns integer
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_limit    constant integer := 500;
    v_now      timestamptz;
    v_resumed  timestamptz;
    v_settings session_settings;
    v_stale    interval;
    v_key      record;
    v_before   session_coordination;
    v_session  session_coordination;
    v_silent   text[];
    v_changed  jsonb;
    v_is_empty boolean;
    v_seen     integer := 0;
    v_swept    integer := 0;
begin
    select * into strict v_settings from session_settings;
    if session_take_turn('presence', v_settings.sweep_every * 0.9) is null then
        return 0;
    end if;
    v_now := switchboard.now();
    v_stale := v_settings.stale_after;
    -- After an outage the first stamp of a server notes its end, in one statement. Before that stamp nobody is judged.
    perform 1 from service_alive where stamped_at > v_now - interval '5 seconds';
    if not found then
        return 0;
    end if;
    v_resumed := coalesce(resumed_at(), '-infinity');
    for v_key in
        select company_id, session_id
        from session_health
        where status <> 'DISCONNECTED' and last_ping <= v_now - v_stale
            and v_resumed <= v_now - v_stale
        group by company_id, session_id
        order by company_id, session_id
        limit v_limit
    loop
        v_seen := v_seen + 1;
        select * into v_before from session_coordination
        where company_id = v_key.company_id and session_id = v_key.session_id
        for no key update skip locked;
        continue when not found;
        -- Judged again on each row as it is once it is locked: whoever was heard meanwhile stays.
        with silent as (
            update session_health
            set status = 'DISCONNECTED', disconnected_at = v_now
            where company_id = v_key.company_id and session_id = v_key.session_id
                and status <> 'DISCONNECTED' and last_ping <= v_now - v_stale
            returning user_id
        )
        select array_agg(user_id order by user_id) into v_silent from silent;
        continue when v_silent is null;
        with silent as (
            update session_participant
            set connection_state = case when connection_state = 'ENDED' then 'ENDED' else 'RECONNECTING' end
            where company_id = v_key.company_id and session_id = v_key.session_id and user_id = any (v_silent)
            returning session_participant
        )
        select jsonb_agg(session_user_record(session_participant)) into v_changed from silent;
        v_is_empty := session_is_empty(v_key.company_id, v_key.session_id);
        update session_coordination
        set awaited_users = array(select unnest(awaited_users) except select unnest(v_silent)),
            awaited_until = case when awaited_users <@ v_silent then null else awaited_until end,
            empty_since = case when v_is_empty then v_now end,
            version = version + 1, updated_at = v_now
        where company_id = v_key.company_id and session_id = v_key.session_id
        returning * into strict v_session;
        perform session_append(v_session, v_before, 'SessionUsersDisconnected', null, coalesce(v_changed, '[]'));
        v_swept := v_swept + cardinality(v_silent);
    end loop;
    for v_before in
        select * from session_coordination
        where awaited_until <= v_now
        order by company_id, session_id
        limit v_limit
        for no key update skip locked
    loop
        update session_coordination
        set awaited_users = '{}', awaited_until = null, version = version + 1, updated_at = v_now
        where company_id = v_before.company_id and session_id = v_before.session_id
        returning * into strict v_session;
        perform session_append(v_session, v_before, 'SessionReconnectionEnded', null, '[]');
    end loop;
    if v_seen = v_limit then
        -- More are due: the next turn begins at once.
        update session_duty set ran_at = v_now - interval '1 second' where duty = 'presence';
    end if;
    return v_swept;
end
$$;
comment on function switchboard.session_sweep_presence() is
    'Disconnects every participant that has been silent for too long: one event a session. Silence counts from the last ping, or from resumed_at(), the end of the last outage of all servers or of the database. Gives up waiting for participants after a switch. Returns how many were disconnected. Locks: the duty; sessions in the order of their keys, none that is locked; participants.';
revoke execute on function switchboard.session_sweep_presence() from public;

create function switchboard.session_fold_providers() returns integer
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_now      timestamptz;
    v_before   session_provider;
    v_provider session_provider;
    v_outcome  record;
    v_key      record;
    v_folded   integer := 0;
begin
    if session_take_turn('providers', '950 milliseconds') is null then
        return 0;
    end if;
    v_now := switchboard.now();
    for v_key in
        select company_id, provider as name from session_provider_outcome where not folded
        union
        select company_id, name from session_provider where avoid_until <= v_now
        order by company_id, name
    loop
        select * into strict v_before from session_provider
        where company_id = v_key.company_id and name = v_key.name
        for no key update;
        v_provider := v_before;
        if v_provider.state = 'AVOIDED' and v_provider.avoid_until <= v_now then
            v_provider.state := 'PROBING';
            v_provider.avoid_until := null;
        end if;
        for v_outcome in
            with outcome as (
                update session_provider_outcome
                set folded = true
                where company_id = v_key.company_id and provider = v_key.name and not folded
                returning at, session_id, succeeded
            )
            select succeeded from outcome order by at, session_id
        loop
            v_folded := v_folded + 1;
            v_provider.score := session_provider_score(v_provider.score, v_outcome.succeeded);
            if v_provider.state = 'PROBING' and v_outcome.succeeded then
                v_provider.state := 'USABLE';
                v_provider.score := 60;
                v_provider.probe_session := null;
                v_provider.probe_until := null;
            elsif (v_provider.state = 'PROBING' or v_provider.state = 'USABLE' and v_provider.score < 30)
                and not v_outcome.succeeded then
                v_provider.state := 'AVOIDED';
                v_provider.avoid_for := session_avoidance(v_provider.avoid_for);
                v_provider.avoid_until := v_now + v_provider.avoid_for;
                v_provider.probe_session := null;
                v_provider.probe_until := null;
            end if;
            if v_provider.state = 'USABLE' and v_provider.score >= 80 then
                v_provider.avoid_for := '0';
            end if;
        end loop;
        perform session_put_provider(v_provider, v_before, v_now, null);
    end loop;
    return v_folded;
end
$$;
comment on function switchboard.session_fold_providers() is
    'Folds what sessions reported of providers into scores and states. A duty once a second, and not a timer: the outcomes themselves say that there is work, so reporting one sets nothing. Returns how many outcomes. Locks: the duty; providers in the order of their keys.';
revoke execute on function switchboard.session_fold_providers() from public;


create function switchboard.session_put_provider(
    p_after switchboard.session_provider, p_before switchboard.session_provider, p_now timestamptz, p_actor text
) returns void
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_is_news  boolean;
    v_provider session_provider;
begin
    if p_after is not distinct from p_before then
        return;
    end if;
    v_is_news := p_before.company_id is null or p_after.state <> p_before.state or p_after.rank <> p_before.rank
        or abs(p_after.score - p_after.published_score) >= 10;
    update session_provider
    set rank = p_after.rank, state = p_after.state, score = p_after.score, is_default = p_after.is_default,
        published_score = case when v_is_news then p_after.score else published_score end,
        avoid_until = p_after.avoid_until, avoid_for = p_after.avoid_for,
        probe_session = p_after.probe_session, probe_until = p_after.probe_until,
        version = version + case when v_is_news and p_before.company_id is not null then 1 else 0 end,
        updated_at = p_now
    where company_id = p_after.company_id and name = p_after.name
    returning * into strict v_provider;
    if v_is_news then
        perform append_event(p_after.company_id, 'session_provider', p_after.name, v_provider.version,
            case when p_actor is null then 'SessionProviderScored' else 'SessionProviderSet' end,
            session_provider_record(v_provider),
            case when p_before.company_id is not null then session_provider_record(p_before) end, p_actor);
    end if;
end
$$;
comment on function switchboard.session_put_provider(
    switchboard.session_provider, switchboard.session_provider, timestamptz, text) is
    'Writes a provider that is locked; an event if its state or rank changed, or its score by 10 points since the last one.';
revoke execute on function switchboard.session_put_provider(
    switchboard.session_provider, switchboard.session_provider, timestamptz, text) from public;

create function switchboard.session_judge_health() returns table (company_id uuid, session_id text)
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
#variable_conflict use_column
declare
    v_every interval;
begin
    select check_every into strict v_every from session_settings;
    if session_take_turn('health', v_every * 0.95) is null then
        return;
    end if;
    return query
    select coalesce(judged.company_id, held.company_id), coalesce(judged.session_id, held.session_id)
    from session_alert_now as judged
    full join (select * from session_alert where cleared_at is null) as held
        on held.company_id = judged.company_id and held.session_id = judged.session_id and held.type = judged.type
    where held.alert_id is null or judged.type is null
        or held.user_ids <> judged.user_ids or held.severity <> judged.severity
    union
    select quality.company_id, quality.session_id
    from session_quality_now as quality
    where quality.should_recover
        or quality.published ->> 'recommendation' <> quality.recommendation
    order by 1, 2;
end
$$;
comment on function switchboard.session_judge_health() is
    'The sessions whose alerts or recommendation are no longer as published, or that should recover; none if it is not the caller''s turn. Locks: the duty.';
revoke execute on function switchboard.session_judge_health() from public;

create function switchboard.session_publish_health(p_company_id uuid, p_session_id text) returns void
    language plpgsql
    set search_path = switchboard, pg_temp
    set lock_timeout = '2s'
as $$
declare
    v_settings session_settings;
    v_session  session_coordination;
    v_judged   record;
    v_before   session_alert;
    v_alert    session_alert;
    v_quality  record;
    v_record   jsonb;
    v_version  integer;
    v_now      timestamptz;
begin
    perform session_require_read_committed();
    select * into v_session from session_coordination
    where company_id = p_company_id and session_id = p_session_id
    for no key update;
    if not found then
        return;
    end if;
    select * into strict v_settings from session_settings;
    v_now := switchboard.now();
    for v_judged in
        select coalesce(judged.type, held.type) as type, judged.severity, judged.user_ids, judged.message
        from (
            select type, severity, user_ids, message from session_alert_now
            where company_id = p_company_id and session_id = p_session_id
        ) as judged
        full join (
            select type, severity, user_ids from session_alert
            where company_id = p_company_id and session_id = p_session_id and cleared_at is null
        ) as held on held.type = judged.type
        where held.type is null or judged.type is null
            or held.user_ids <> judged.user_ids or held.severity <> judged.severity
        order by 1
    loop
        select * into v_before from session_alert
        where company_id = p_company_id and alert_id = p_session_id || ':' || v_judged.type;
        insert into session_alert as alert
            (company_id, alert_id, session_id, type, severity, user_ids, message, raised_at)
        values (p_company_id, p_session_id || ':' || v_judged.type, p_session_id, v_judged.type,
            coalesce(v_judged.severity, v_before.severity), coalesce(v_judged.user_ids, '{}'),
            coalesce(v_judged.message, v_before.message), v_now)
        on conflict (company_id, alert_id) do update
        set severity = excluded.severity, user_ids = excluded.user_ids, message = excluded.message,
            version = alert.version + 1,
            raised_at = case when alert.cleared_at is null then alert.raised_at else excluded.raised_at end,
            cleared_at = case when excluded.user_ids = '{}' then v_now end
        returning * into strict v_alert;
        perform append_event(p_company_id, 'session_alert', v_alert.alert_id, v_alert.version,
            case when v_alert.cleared_at is not null then 'SessionAlertCleared'
                when v_before.alert_id is null or v_before.cleared_at is not null then 'SessionAlertRaised'
                else 'SessionAlertChanged' end,
            session_alert_record(v_alert),
            case when v_before.alert_id is not null then session_alert_record(v_before) end, null);
    end loop;

    select should_recover, recommendation, metrics, published into v_quality
    from session_quality_now
    where company_id = p_company_id and session_id = p_session_id;
    if not found then
        return;
    end if;
    if v_quality.recommendation <> v_quality.published ->> 'recommendation' then
        v_record := jsonb_build_object('shouldRecover', v_quality.should_recover,
            'recommendation', v_quality.recommendation, 'metrics', v_quality.metrics);
        update session_coordination
        set quality = v_record, quality_version = quality_version + 1, updated_at = v_now
        where company_id = p_company_id and session_id = p_session_id
        returning quality_version into strict v_version;
        perform append_event(p_company_id, 'session_quality', p_session_id, v_version, 'SessionQualityJudged',
            v_record || jsonb_build_object('companyId', p_company_id, 'sessionId', p_session_id, 'version', v_version),
            case when v_version > 1 then v_quality.published
                || jsonb_build_object('companyId', p_company_id, 'sessionId', p_session_id, 'version', v_version - 1) end,
            null);
    end if;
    if v_quality.should_recover and v_settings.automatic_recovery then
        perform set_config('switchboard.company_id', p_company_id::text, true);
        perform coordinate_provider_recovery(p_session_id, v_session.active_provider, 'system', v_session.epoch,
            v_quality.recommendation, 'quality');
    end if;
end
$$;
comment on function switchboard.session_publish_health(uuid, text) is
    'Raises, changes and clears a session''s alerts, publishes its recommendation, and acts on it if automatic recovery is on: by the same compare-and-set as every report, with the epoch of the samples. Locks: the session.';
revoke execute on function switchboard.session_publish_health(uuid, text) from public;

create function switchboard.session_clean_up() returns integer
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_settings session_settings;
    v_now      timestamptz;
    v_before   session_coordination;
    v_session  session_coordination;
    v_ended    integer := 0;
begin
    select * into strict v_settings from session_settings;
    if session_take_turn('cleanup', v_settings.cleanup_every * 0.95) is null then
        return 0;
    end if;
    v_now := switchboard.now();
    for v_before in
        select * from session_coordination
        where ended_at is null and empty_since <= v_now - v_settings.idle_end
        order by company_id, session_id
        limit 1000
        for no key update skip locked
    loop
        -- Somebody may have been heard since, whose report waits for this lock.
        continue when not session_is_empty(v_before.company_id, v_before.session_id);
        update session_coordination
        set ended_at = v_now, awaited_users = '{}', awaited_until = null, version = version + 1, updated_at = v_now
        where company_id = v_before.company_id and session_id = v_before.session_id
        returning * into strict v_session;
        perform session_append(v_session, v_before, 'SessionEnded', null, '[]');
        v_ended := v_ended + 1;
    end loop;
    with silent as (
        delete from session_health
        where ctid in (
            select ctid from session_health
            where status = 'DISCONNECTED' and last_ping <= v_now - v_settings.retention
            limit 10000
            for update skip locked
        )
        returning company_id, session_id, user_id
    )
    delete from session_participant as participant
    using silent
    where participant.company_id = silent.company_id and participant.session_id = silent.session_id
        and participant.user_id = silent.user_id;
    delete from session_provider_outcome where folded and at <= v_now - interval '1 hour';
    return v_ended;
end
$$;
comment on function switchboard.session_clean_up() is
    'Ends sessions in which nobody has been present for long, and deletes the rows of participants that have been silent for the retention time. Returns how many sessions ended. Locks: the duty; sessions and participants, none that is locked.';
revoke execute on function switchboard.session_clean_up() from public;
