-- For providers: how many open sessions are on each, and how often it failed in the last hour. Takes no lock.
--   $1 company_id  uuid
--   $2 name        text[]
select asked.name as "name!",
    (select count(*)::integer from session_coordination
        where company_id = $1 and active_provider = asked.name and ended_at is null) as "sessions!",
    (select count(*)::integer from session_provider_outcome
        where company_id = $1 and provider = asked.name and not succeeded
            and at > moment.now - interval '1 hour') as "failures!"
from unnest($2::text[]) as asked (name)
cross join (select switchboard.now() as now) as moment;
