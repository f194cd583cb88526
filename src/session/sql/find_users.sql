-- Participants of a session, in the order of their ids. Takes no lock.
--   $1 company_id  uuid
--   $2 session_id  text
--   $3 user_id     text  null: all of them
--   $4 limit       bigint
select user_id, user_name, connection_state as "connection_state: ConnectionState", current_provider, is_audio_muted,
    is_video_off, last_seen, reconnect_attempts, device_info, joined_epoch
from session_participant
where company_id = $1 and session_id = $2 and ($3::text is null or user_id = $3)
order by user_id
limit $4;
