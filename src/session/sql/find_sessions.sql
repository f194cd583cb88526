-- Sessions by id. The order within the lateral subquery makes every plan read the primary key. Takes no lock.
--   $1 company_id  uuid
--   $2 session_id  text[]
select session.company_id, session.session_id, session.active_provider, session.fallback_provider, session.epoch,
    session.room_id, session.selected_by, session.selected_at, session.recovery_from,
    session.recovery_reason, session.last_provider_change,
    (session.awaited_until is not null and session.awaited_until > moment.now) as "reconnection_in_progress!",
    session.version, session.created_at, session.ended_at
from unnest($2::text[]) as asked (session_id)
cross join lateral (
    select *
    from session_coordination
    where session_coordination.company_id = $1
        and session_coordination.session_id between asked.session_id and asked.session_id
    order by session_coordination.session_id
    limit 1
) as session
cross join (select switchboard.now() as now) as moment;
