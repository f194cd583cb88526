create function switchboard.call_queue_take_sample(
    p_company_id uuid, p_at timestamptz, out is_taken boolean, out violations integer
)
    language plpgsql
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
as $$
declare
    v_from timestamptz := p_at - interval '1 minute';
begin
    violations := 0;
    -- Another server may take it at this moment: then this waits for its end, and takes the sample only if that failed.
    insert into call_queue_sample (company_id, user_id, at)
    values (p_company_id, '', p_at)
    on conflict (company_id, user_id, at) do nothing;
    is_taken := found;
    if not is_taken then
        return;
    end if;
    with
    dispatched as materialized (
        select call.user_id,
            case when call.attempt = 1 then
                ceil(extract(epoch from call.inserted_at - coalesce(call.queued_at, call.inserted_at)))::integer end as waited,
            call.call_type = 'CAMPAIGN' and call_queue_is_violation(call) as is_violation
        from call
        where call.company_id = p_company_id and call.inserted_at >= v_from and call.inserted_at < p_at and not call.inbound
    ),
    -- What was dispatched, by user and of the company.
    counted as (
        select coalesce(dispatched.user_id, '') as user_id, count(*) as dispatched,
            percentile_disc(0.5) within group (order by dispatched.waited) as wait_p50,
            percentile_disc(0.9) within group (order by dispatched.waited) as wait_p90,
            count(*) filter (where dispatched.is_violation) as violations
        from dispatched
        group by grouping sets ((dispatched.user_id), ())
    ),
    -- What waits and runs, by user and of the company.
    present as (
        select coalesce(owner.user_id, '') as user_id, sum(owner.queued_direct) as direct,
            sum(owner.queued_campaign) as campaign, sum(owner.active_direct + owner.active_campaign) as active
        from (
            select queueing.user_id
            from call_queue_user as queueing
            where queueing.company_id = p_company_id and queueing.queued > 0
            union
            select slot.user_id
            from active_calls as slot
            where slot.company_id = p_company_id
        ) as busy
        cross join lateral (
            select *
            from call_queue_user as owner
            where owner.company_id = p_company_id and owner.user_id = busy.user_id
            offset 0
        ) as owner
        group by grouping sets ((owner.user_id), ())
    ),
    sample as (
        select user_id, coalesce(present.direct, 0) as direct, coalesce(present.campaign, 0) as campaign,
            coalesce(present.active, 0) as active, coalesce(counted.dispatched, 0) as dispatched, counted.wait_p50,
            counted.wait_p90, coalesce(counted.violations, 0) as violations
        from present
        full join counted using (user_id)
    ),
    of_users as (
        insert into call_queue_sample (company_id, user_id, at, direct, campaign, active, dispatched, wait_p50, wait_p90,
            violations)
        select p_company_id, sample.user_id, p_at, sample.direct, sample.campaign, sample.active, sample.dispatched,
            sample.wait_p50, sample.wait_p90, sample.violations
        from sample
        where sample.user_id <> ''
    )
    update call_queue_sample as own
    set direct = sample.direct, campaign = sample.campaign, active = sample.active, dispatched = sample.dispatched,
        wait_p50 = sample.wait_p50, wait_p90 = sample.wait_p90, violations = sample.violations
    from sample
    where own.company_id = p_company_id and own.user_id = '' and own.at = p_at and sample.user_id = ''
    returning own.violations into call_queue_take_sample.violations;
end
$$;
comment on function switchboard.call_queue_take_sample(uuid, timestamptz) is
    'Writes the samples of a company for the minute that ended at p_at, unless they are written. Returns whether it did, and how many violations of priority it found. Takes no lock but that of the company''s sample.';
revoke execute on function switchboard.call_queue_take_sample(uuid, timestamptz) from public;
