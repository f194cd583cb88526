-- The participants of sessions, each session's in the order of their ids. Takes no lock.
--   $1 company_id  uuid
--   $2 session_id  text[]
--   $3 limit       bigint  of each session
select participant.session_id, participant.user_id, participant.user_name,
    participant.connection_state as "connection_state: ConnectionState", participant.current_provider,
    participant.is_audio_muted, participant.is_video_off, participant.last_seen, participant.reconnect_attempts,
    participant.device_info, participant.joined_epoch
from unnest($2::text[]) as asked (session_id)
cross join lateral (
    select *
    from session_participant
    where session_participant.company_id = $1 and session_participant.session_id = asked.session_id
    order by session_participant.user_id
    limit $3
) as participant
order by participant.session_id, participant.user_id;
