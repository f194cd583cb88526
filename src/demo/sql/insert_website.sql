-- Inserts the demo website if it is not there.
--
-- $1 company
-- $2 id
-- $3 public key
insert into website (company_id, id, public_key, name, color)
values ($1, $2, $3, 'Demo website', '#3b6ea5')
on conflict do nothing
