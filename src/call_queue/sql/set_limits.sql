-- Sets limits; null keeps one. The slots are locked.
--
-- $1, $2 company, user
-- $3, $4 the user's limit, the company's
select 1 as "set!" from (select call_set_limits($1, $2, $3, $4)) as set
