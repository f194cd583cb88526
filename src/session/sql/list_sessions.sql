-- A page of a company's sessions, newest first. Takes no lock.
--   $1 company_id        uuid
--   $2 is_active         boolean      null: both
--   $3 provider          text         null: any
--   $4 before_time       timestamptz  null: from the newest on
--   $5 before_session    text
--   $6 limit             bigint
select session.company_id, session.session_id, session.active_provider, session.fallback_provider, session.epoch,
    session.room_id, session.selected_by, session.selected_at, session.recovery_from,
    session.recovery_reason, session.last_provider_change,
    (session.awaited_until is not null and session.awaited_until > moment.now) as "reconnection_in_progress!",
    session.version, session.created_at, session.ended_at
from session_coordination as session
cross join (select switchboard.now() as now) as moment
where session.company_id = $1
    -- Always true: the condition of the list's index, which no lookup of a session may read.
    and session.created_at > '-infinity'
    and ($2::boolean is null or (session.ended_at is null) = $2)
    and ($3::text is null or session.active_provider = $3)
    and (session.created_at, session.session_id) < (coalesce($4::timestamptz, 'infinity'), coalesce($5, ''))
order by session.created_at desc, session.session_id desc
limit $6;
