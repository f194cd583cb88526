-- True if there is such a company.
--
-- $1 company
select exists (select 1 from company where id = $1) as "there!"
