-- Whether a line was ever entered. Takes no lock.
--
-- $1 company
-- $2 line
select exists (
    select 1 from operation_line as line where line.company_id = $1 and line.chat_id = $2
) as "exists!"
