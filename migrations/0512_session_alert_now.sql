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
