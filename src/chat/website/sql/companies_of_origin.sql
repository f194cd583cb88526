-- The companies for which pages of an origin may act: those of the websites that list it.
--
-- $1 origin, in lower case
select distinct company_id from website where allowed_origins @> array[$1::text]
