create or replace function switchboard.session_judge_health() returns table (company_id uuid, session_id text)
    language plpgsql
    set search_path = switchboard, pg_temp
    -- Each part has an index of just the rows that it wants; how few these are, the statistics do not tell.
    set enable_seqscan = off
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
    with
    moment as materialized (
        select switchboard.now() as now
    ),
    -- Of any other session nothing is published, and nobody in it is a reason to publish anything.
    concerned as materialized (
        select company_id, session_id from session_alert where cleared_at is null
        union
        select company_id, session_id from session_coordination
        where ended_at is null and quality ->> 'recommendation' <> 'none'
        union
        select company_id, session_id from session_health
        where status = 'FAILED' or poor_samples <> 0 or slow_samples <> 0 or lossy_samples <> 0
        union
        select health.company_id, health.session_id
        from session_health as health
        where health.status = 'DISCONNECTED' and not health.has_left
            and health.disconnected_at > (select moment.now from moment) - interval '5 minutes'
    )
    select concerned.company_id, concerned.session_id
    from concerned
    cross join lateral (
        select exists (
            select 1
            from (
                select type, severity, user_ids from session_alert_now
                where company_id = concerned.company_id and session_id = concerned.session_id
            ) as judged
            full join (
                select type, severity, user_ids from session_alert
                where company_id = concerned.company_id and session_id = concerned.session_id and cleared_at is null
            ) as held on held.type = judged.type
            where held.type is null or judged.type is null
                or held.user_ids <> judged.user_ids or held.severity <> judged.severity
        ) or exists (
            select 1
            from session_quality_now as quality
            where quality.company_id = concerned.company_id and quality.session_id = concerned.session_id
                and (quality.should_recover or quality.published ->> 'recommendation' <> quality.recommendation)
        ) as has_changed
        offset 0
    ) as judged
    where judged.has_changed
    order by 1, 2;
end
$$;
comment on function switchboard.session_judge_health() is
    'The sessions whose alerts or recommendation are no longer as published, or that should recover; none if it is not the caller''s turn. Looks only at sessions about which something is published or that somebody has trouble in. Locks: the duty.';
