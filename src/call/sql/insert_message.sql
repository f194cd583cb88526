-- Inserts a message of a call, which is locked.
--
-- $1..$4 company, call, number, id
-- $5..$7 role, text, time
insert into call_message (company_id, call_id, number, id, role, text, inserted_at)
values ($1, $2, $3, $4, $5, $6, $7)
