-- Inserts a free line, so that there is a row to lock.
--
-- $1 company
-- $2 chat
insert into operation_line (company_id, chat_id)
values ($1, $2)
on conflict (company_id, chat_id) do nothing
