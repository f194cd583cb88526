-- Ties a browser's key to a visitor of a website, if it is not tied yet. Waits for a transaction that is tying it.
--
-- $1 company, $2 website, $3 hash of the key, $4 visitor
insert into visitor_key (company_id, website_id, hash, visitor)
values ($1, $2, $3, $4)
on conflict (company_id, website_id, hash) do nothing
