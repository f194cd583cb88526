-- True if pages of an origin may call for any website of any company.
--
-- $1 origin, in lower case
select exists (select 1 from website where allowed_origins @> array[$1::text]) as "allows!"
