-- Leases: rights that end by themselves, with fencing tokens.

create table switchboard.lease (
    company_id   uuid        not null references switchboard.company (id),
    subject_type text        not null,
    subject_id   text        not null,
    name         text        not null,
    owner        text,
    token        bigint      not null,
    expires_at   timestamptz not null,
    primary key (company_id, subject_type, subject_id, name),
    constraint owner_is_named check (owner <> '')
);
comment on table  switchboard.lease is 'Rights that a crash must not leak: each has an owner, an expiry and a fencing token. The row''s lock decides who gets it. A row stays when the lease ends, so that its tokens grow.';
comment on column switchboard.lease.company_id is 'The tenant.';
comment on column switchboard.lease.subject_type is 'What the right is about, as in the event log.';
comment on column switchboard.lease.subject_id is 'Which one.';
comment on column switchboard.lease.name is 'Which right, among those of one subject.';
comment on column switchboard.lease.owner is 'The request that has it, not its type: a repeat of the request finds its own. Null: it was given back.';
comment on column switchboard.lease.token is 'Grows with each grant, also after the row was deleted: at least the microseconds of the database''s clock. A holder shows it with each change; an older one changes nothing.';
comment on column switchboard.lease.expires_at is 'From this moment of switchboard.now() on anybody may have it.';
