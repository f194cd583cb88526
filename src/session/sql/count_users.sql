-- How many participants sessions have. Takes no lock.
--   $1 company_id  uuid
--   $2 session_id  text[]
select asked.session_id as "session_id!", participants.n as "count!"
from unnest($2::text[]) as asked (session_id)
cross join lateral (
    select count(*)::integer as n
    from session_participant as participant
    where participant.company_id = $1 and participant.session_id = asked.session_id
) as participants;
