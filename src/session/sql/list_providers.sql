-- A company's providers, best first. Takes no lock.
--   $1 company_id  uuid
select company_id, name, rank, state as "state: ProviderState", score, version
from session_provider
where company_id = $1
order by rank, name;
