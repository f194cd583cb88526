create function switchboard.update_session_health(
    p_session_id text, p_user_id text, p_status text, p_quality_metrics jsonb default null, p_epoch integer default null
) returns jsonb
    language plpgsql security definer
    set search_path = switchboard, pg_temp
    set lock_timeout = '2s'
as $$
declare
    v_company_id uuid := session_company();
    v_status     text := upper(p_status);
    v_metrics    jsonb := coalesce(nullif(p_quality_metrics, 'null'), '{}');
    v_problem    text;
    v_session    session_coordination;
    v_settings   session_settings;
    v_epoch      integer := p_epoch;
    v_latency    integer;
    v_loss       real;
    v_jitter     integer;
    v_bandwidth  integer;
    v_is_sample  boolean;
    v_of_epoch   boolean;
    v_outcome    text;
    v_now        timestamptz;
begin
    perform session_require_read_committed();
    if v_company_id is null then
        return session_refused('FORBIDDEN', 'set switchboard.company_id to a company that you are granted');
    end if;
    v_problem := coalesce(
        session_bad_id('session id', p_session_id), session_bad_id('user id', p_user_id),
        case when v_status is null
                or v_status not in ('CONNECTING', 'CONNECTED', 'RECONNECTING', 'DISCONNECTED', 'FAILED')
            then 'status: unknown' end,
        session_bad_metrics(v_metrics),
        case when p_epoch < 0 then 'epoch: must not be negative' end);
    if v_problem is not null then
        return session_refused('BAD_USER_INPUT', v_problem);
    end if;
    select * into v_session from session_coordination where company_id = v_company_id and session_id = p_session_id;
    if not found then
        return session_refused('NOT_FOUND', 'no such session');
    end if;
    if v_session.ended_at is not null then
        return session_refused('CONFLICT', 'the session has ended');
    end if;
    if p_epoch > v_session.epoch then
        return session_refused('BAD_USER_INPUT', 'epoch: the session has only reached ' || v_session.epoch);
    end if;
    select * into strict v_settings from session_settings;
    v_latency := round((v_metrics ->> 'latency')::numeric);
    v_jitter := round((v_metrics ->> 'jitter')::numeric);
    v_bandwidth := round((v_metrics ->> 'bandwidth')::numeric);
    v_loss := (v_metrics ->> 'packetLoss')::real;
    v_is_sample := v_latency is not null or v_loss is not null;
    if p_epoch is null then
        select joined_epoch into v_epoch from session_participant
        where company_id = v_company_id and session_id = p_session_id and user_id = p_user_id;
    end if;
    v_of_epoch := coalesce(v_epoch = v_session.epoch, false);

    -- Once for who is present; under the session's lock first for who is new, was silent, or says that it goes.
    for v_try in 1 .. 2 loop
        v_now := switchboard.now();
        if p_epoch < v_session.epoch then
            update session_health
            set last_ping = greatest(last_ping, v_now), old_reports = old_reports + 1,
                old_report = v_metrics || jsonb_build_object('status', v_status, 'epoch', p_epoch, 'at', v_now)
            where company_id = v_company_id and session_id = p_session_id and user_id = p_user_id
                and status <> 'DISCONNECTED';
        elsif v_status <> 'DISCONNECTED' then
            update session_health
            set last_ping = greatest(last_ping, v_now), status = v_status,
                connected_at = case when v_status = 'CONNECTED' then coalesce(connected_at, v_now) else connected_at end,
                latency = coalesce(v_latency, latency), packet_loss = coalesce(v_loss, packet_loss),
                jitter = coalesce(v_jitter, jitter), bandwidth = coalesce(v_bandwidth, bandwidth),
                video_quality = case when v_is_sample or v_metrics ? 'videoQuality' then
                    coalesce(upper(v_metrics ->> 'videoQuality'), session_quality(v_latency, v_loss, v_settings)) else video_quality end,
                audio_quality = case when v_is_sample or v_metrics ? 'audioQuality' then
                    coalesce(upper(v_metrics ->> 'audioQuality'), session_quality(v_latency, v_loss, v_settings)) else audio_quality end,
                device_type = coalesce(v_metrics ->> 'deviceType', device_type),
                network_type = coalesce(v_metrics ->> 'networkType', network_type),
                browser_info = coalesce(v_metrics ->> 'browserInfo', browser_info),
                sampled_at = case when v_is_sample then v_now else sampled_at end,
                score = case when v_is_sample then
                    session_smoothed(score, session_score(v_latency, v_jitter, v_loss)) else score end,
                poor_samples = case when v_is_sample then session_sampled(poor_samples,
                    coalesce(v_latency > v_settings.poor_latency, false)
                        or coalesce(v_loss > v_settings.poor_packet_loss, false)) else poor_samples end,
                -- Samples of an earlier epoch are about another provider.
                slow_samples = case when v_is_sample and v_of_epoch then session_sampled(
                    case when sampled_epoch = v_epoch then slow_samples else 0::smallint end,
                    coalesce(v_latency > v_settings.recover_latency, false)) else slow_samples end,
                lossy_samples = case when v_is_sample and v_of_epoch then session_sampled(
                    case when sampled_epoch = v_epoch then lossy_samples else 0::smallint end,
                    coalesce(v_loss > v_settings.recover_packet_loss, false)) else lossy_samples end,
                sampled_epoch = case when v_is_sample and v_of_epoch then v_epoch else sampled_epoch end
            where company_id = v_company_id and session_id = p_session_id and user_id = p_user_id
                and status <> 'DISCONNECTED';
        end if;
        if found and (v_status <> 'DISCONNECTED' or p_epoch < v_session.epoch) then
            exit;
        end if;
        v_outcome := session_admit(v_company_id, p_session_id, p_user_id,
            case when p_epoch < v_session.epoch then null else v_status end, true);
        if v_outcome = 'CONFLICT' then
            return session_refused(v_outcome, 'the session has ended');
        end if;
        exit when v_outcome <> 'PRESENT';
    end loop;
    return jsonb_build_object(
        'success', true, 'health_id', p_session_id || ':' || p_user_id,
        'connection_status', (select lower(status) from session_health
            where company_id = v_company_id and session_id = p_session_id and user_id = p_user_id),
        'last_ping', v_now);
end
$$;
comment on function switchboard.update_session_health(text, text, text, jsonb, integer) is
    'A participant''s health: its status and, at will, one sample of quality. A report with an older epoch counts as a heartbeat and is only kept. {success, health_id, connection_status, last_ping}. Locks: the participant''s row; the session, if it is new, comes back or goes.';
revoke execute on function switchboard.update_session_health(text, text, text, jsonb, integer) from public;
