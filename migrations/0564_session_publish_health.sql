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
