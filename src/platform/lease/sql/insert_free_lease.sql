-- Inserts a lease that nobody has, so that there is a row to lock.
--
-- $1..$4  company, subject type, subject id, name
insert into lease (company_id, subject_type, subject_id, name, owner, token, expires_at)
values ($1, $2, $3, $4, null, 0, 'epoch')
on conflict (company_id, subject_type, subject_id, name) do nothing
