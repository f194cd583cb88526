-- Idempotency keys: calls that a client may repeat.

create table switchboard.idempotency_key (
    company_id   uuid        not null references switchboard.company (id),
    caller       text        not null,
    operation    text        not null,
    key          text        not null check (length(key) between 1 and 200),
    content_hash bytea       not null check (length(content_hash) = 32),
    outcome      json,
    inserted_at  timestamptz not null default switchboard.now(),
    primary key (company_id, caller, operation, key)
);
comment on table  switchboard.idempotency_key is 'Outcomes of calls that a client may repeat. Written by the first statement of the call''s transaction, so that a repeat waits for it; a call that fails leaves no row. Kept for SWITCHBOARD_IDEMPOTENCY_RETENTION.';
comment on column switchboard.idempotency_key.company_id is 'The tenant.';
comment on column switchboard.idempotency_key.caller is 'Claim sub of the caller; another caller''s keys are others.';
comment on column switchboard.idempotency_key.operation is 'What was called; the keys of each operation are its own.';
comment on column switchboard.idempotency_key.key is 'Chosen by the client, 1 to 200 characters.';
comment on column switchboard.idempotency_key.content_hash is 'SHA-256 of what was asked for: the same key with other content is an error.';
comment on column switchboard.idempotency_key.outcome is 'What the caller got, with the ids that were made. Null only inside the transaction that is deciding it.';
comment on column switchboard.idempotency_key.inserted_at is 'When the call was made.';

create index idempotency_key_age on switchboard.idempotency_key (inserted_at);
comment on index switchboard.idempotency_key_age is 'The oldest keys, which are deleted first.';
