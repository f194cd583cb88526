-- How many open sessions are on a provider, and how often it failed in the last hour. Takes no lock.
--   $1 company_id  uuid
--   $2 name        text
select
    (select count(*)::integer from session_coordination
        where company_id = $1 and active_provider = $2 and ended_at is null) as "sessions!",
    (select count(*)::integer
        from session_provider_outcome
        cross join (select switchboard.now() as now) as moment
        where company_id = $1 and provider = $2 and not succeeded and at > moment.now - interval '1 hour') as "failures!";
