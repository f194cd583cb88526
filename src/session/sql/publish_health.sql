-- Publishes the health of one session, and acts on it.
--   $1 company_id  uuid
--   $2 session_id  text
select session_publish_health($1, $2) as "done!";
