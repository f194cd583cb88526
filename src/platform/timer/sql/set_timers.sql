-- Sets timers. A timer of the same subject and purpose is replaced. The subjects are locked.
--
-- $1..$6  company, subject type, subject id, purpose, due time, token
insert into timer (company_id, subject_type, subject_id, purpose, due_at, token)
select company_id, subject_type, subject_id, purpose, due_at, token
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::uuid[])
    as set (company_id, subject_type, subject_id, purpose, due_at, token)
on conflict (company_id, subject_type, subject_id, purpose)
    do update set due_at = excluded.due_at, token = excluded.token, attempts = 0
