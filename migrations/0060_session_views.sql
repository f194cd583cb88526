-- What the present health of sessions means. The same views answer a caller about one session and judge all of them.

create view switchboard.session_alert_now as
select judged.company_id, judged.session_id, alert.type, alert.user_ids,
    switchboard.session_severity(cardinality(alert.user_ids), judged.present) as severity,
    cardinality(alert.user_ids) || alert.message as message
from (
    select health.company_id, health.session_id,
        count(*) filter (where health.status <> 'DISCONNECTED') as present,
        -- Who was found silent over 5 minutes ago is no news any more.
        array_agg(health.user_id order by health.user_id) filter (where health.status = 'DISCONNECTED'
            and not health.has_left and health.disconnected_at > moment.now - interval '5 minutes') as stale,
        array_agg(health.user_id order by health.user_id) filter (where health.status <> 'DISCONNECTED'
            and switchboard.session_holds(health.poor_samples, coalesce(health.user_id = any (held.user_ids), false))) as poor,
        array_agg(health.user_id order by health.user_id) filter (where health.status = 'FAILED') as failed
    from switchboard.session_health as health
    join switchboard.session_coordination as session
        on session.company_id = health.company_id and session.session_id = health.session_id and session.ended_at is null
    left join switchboard.session_alert as held
        on held.company_id = health.company_id and held.session_id = health.session_id
        and held.type = 'POOR_QUALITY' and held.cleared_at is null
    cross join (select switchboard.now() as now) as moment
    group by health.company_id, health.session_id
) as judged
cross join lateral (values
    ('STALE_CONNECTIONS', judged.stale, ' participant(s) have gone silent'),
    ('POOR_QUALITY', judged.poor, ' participant(s) have a poor connection'),
    ('FAILED_CONNECTIONS', judged.failed, ' participant(s) cannot connect')
) as alert (type, user_ids, message)
where alert.user_ids is not null;
comment on view switchboard.session_alert_now is
    'The alerts that the health of open sessions is a reason for now, with the hysteresis of those that hold already.';

create view switchboard.session_quality_now as
select judged.company_id, judged.session_id, judged.epoch, judged.active_provider, judged.quality as published,
    2 * judged.bad >= judged.sampled and judged.bad > 0 and judged.active_provider <> 'none' as should_recover,
    case
        when judged.bad = 0 or 2 * judged.bad < judged.sampled or judged.active_provider = 'none' then 'none'
        when judged.slow >= judged.lossy then 'high_latency_detected'
        else 'high_packet_loss_detected'
    end as recommendation,
    jsonb_build_object(
        'latency', judged.latency, 'packetLoss', judged.packet_loss, 'users', judged.bad) as metrics
from (
    select session.company_id, session.session_id, session.epoch, session.active_provider, session.quality,
        count(*) filter (where is_sampled) as sampled,
        count(*) filter (where is_sampled and is_bad) as bad,
        coalesce(sum(slow) filter (where is_sampled and is_bad), 0) as slow,
        coalesce(sum(lossy) filter (where is_sampled and is_bad), 0) as lossy,
        round(avg(health.latency) filter (where is_sampled)) as latency,
        round(avg(health.packet_loss::numeric) filter (where is_sampled), 2) as packet_loss
    from switchboard.session_coordination as session
    cross join (select switchboard.now() as now) as moment
    left join switchboard.session_health as health
        on health.company_id = session.company_id and health.session_id = session.session_id
        and health.status <> 'DISCONNECTED'
    cross join lateral (
        select coalesce(health.sampled_at > moment.now - interval '30 seconds', false) as is_sampled,
            -- A sample is bad that is slow, lossy or both.
            coalesce(health.sampled_epoch = session.epoch
                and switchboard.session_holds(health.slow_samples | health.lossy_samples, false), false) as is_bad,
            bit_count(health.slow_samples::integer::bit(5)) as slow,
            bit_count(health.lossy_samples::integer::bit(5)) as lossy
    ) as sample
    where session.ended_at is null
    group by session.company_id, session.session_id
) as judged;
comment on view switchboard.session_quality_now is
    'For each open session: whether at least half of those with a sample of the last 30 s have 3 bad ones of 5 in this epoch.';
