-- Writes a line, which is locked.
--
--  $1, $2   company, line
--  $3..$9   version, last place, last granted, last token, waiting, start failed, end failed
-- $10..$17  holder: type, principal, request, attempt, granted, expiry, claim by, held for
-- $18       time
update operation_line
set version = $3, last_place = $4, last_granted = $5, last_token = $6, waiting = $7, start_failed = $8, end_failed = $9,
    call_type = $10, principal = $11, request_id = $12, attempt = $13, granted_at = $14, expires_at = $15,
    claim_by = $16, held_for_ms = $17, used_at = $18
where company_id = $1 and chat_id = $2
