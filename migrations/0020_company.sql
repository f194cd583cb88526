-- Tenants and their API keys.

create table switchboard.company (
    id          uuid        primary key,
    name        text        not null check (length(name) between 1 and 200),
    inserted_at timestamptz not null default switchboard.now()
);
comment on table  switchboard.company is 'A tenant. Nothing of one company is reachable from another.';
comment on column switchboard.company.id is 'company_id everywhere else.';
comment on column switchboard.company.name is 'For people; not unique.';
comment on column switchboard.company.inserted_at is 'When it was created.';

create table switchboard.api_key (
    company_id  uuid        not null references switchboard.company (id),
    id          uuid        not null,
    name        text        not null check (length(name) between 1 and 200),
    role        text        not null check (role in ('service', 'admin')),
    secret_hash bytea       not null check (length(secret_hash) = 32),
    version     integer     not null default 1,
    inserted_at timestamptz not null default switchboard.now(),
    revoked_at  timestamptz,
    primary key (company_id, id)
);
comment on table  switchboard.api_key is 'Keys of companies'' servers. The key itself is shown once and never stored.';
comment on column switchboard.api_key.company_id is 'Whom the key acts for.';
comment on column switchboard.api_key.id is 'Public part of the key; names it in lists and logs.';
comment on column switchboard.api_key.name is 'What the key is for, in its owner''s words.';
comment on column switchboard.api_key.role is 'What its bearer may do.';
comment on column switchboard.api_key.secret_hash is 'SHA-256 of the secret part (32 random bytes, so a slow hash would add nothing).';
comment on column switchboard.api_key.version is 'Version of the subject api_key in the event log.';
comment on column switchboard.api_key.inserted_at is 'When it was created.';
comment on column switchboard.api_key.revoked_at is 'Since when it is no longer valid; sockets opened with it are closed then.';

insert into switchboard.event_subject (subject_type, relation, id_column, id_type, version_column, names, scope_fields)
values
    ('api_key', 'api_key', 'id', 'uuid', 'version',
        '{company_id,id,name,role,version,inserted_at,revoked_at}',
        '{}');
