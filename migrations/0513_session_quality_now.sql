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
