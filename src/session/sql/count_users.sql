-- How many participants sessions have. Takes no lock.
--   $1 company_id  uuid
--   $2 session_id  text[]
select asked.session_id as "session_id!", count(participant.user_id)::integer as "count!"
from unnest($2::text[]) as asked (session_id)
left join session_participant as participant
    on participant.company_id = $1 and participant.session_id = asked.session_id
group by asked.session_id;
