-- Inserts an API key. The select makes an unknown company no row instead of an error that aborts the transaction.
--
-- $1 company, $2 id, $3 name, $4 role, $5 SHA-256 of the secret
insert into api_key (company_id, id, name, role, secret_hash)
select company.id, $2, $3, $4, $5
from company
where company.id = $1
returning company_id, id, name, role, version, inserted_at, revoked_at
