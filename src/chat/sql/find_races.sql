-- Races, without their agents. Takes no lock.
--
-- $1 company
-- $2 keys
select
    race.company_id,
    race.key,
    race.website_id,
    race.owner,
    race.state as "state: RaceState",
    race.winner_id,
    race.failures as "failures: Json<Vec<Failure>>",
    race.reoffers,
    race.expires_at,
    race.version,
    race.inserted_at,
    race.updated_at
from chat_race as race
where race.company_id = $1 and race.key = any($2)
