-- One participant. Takes no lock.
--   $1 company_id  uuid
--   $2 session_id  text
--   $3 user_id     text
select user_id, user_name, connection_state as "connection_state: ConnectionState", current_provider, is_audio_muted,
    is_video_off, last_seen, reconnect_attempts, device_info, joined_epoch
from session_participant
where company_id = $1 and session_id = $2 and user_id = $3;
