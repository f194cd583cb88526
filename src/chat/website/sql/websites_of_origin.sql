-- The websites that list an origin, of all companies.
--
-- $1 origin, in lower case
select company_id, id from website where allowed_origins @> array[$1::text]
