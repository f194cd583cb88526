-- Writes a lease, which is locked.
--
-- $1..$4  company, subject type, subject id, name
-- $5..$7  owner, token, expiry
update lease
set owner = $5, token = $6, expires_at = $7
where company_id = $1 and subject_type = $2 and subject_id = $3 and name = $4
