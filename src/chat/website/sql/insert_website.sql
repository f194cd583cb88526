-- Inserts a website.
--
-- $1 company, $2 id, $3 public key, $4 name, $5 logo URL, $6 color, $7 allowed origins
insert into website (company_id, id, public_key, name, logo_url, color, allowed_origins)
values ($1, $2, $3, $4, $5, $6, $7)
returning company_id, id, public_key, name, logo_url, color
