-- The company and website of a contract, which may be any: a caller without a token belongs to none.
--
-- $1 id
select company_id, website_id from contract where id = $1
