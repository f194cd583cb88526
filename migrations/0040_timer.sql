-- Durable timers: what is to happen to a subject at a time, also if every server is down when it comes due.

create table switchboard.timer (
    company_id   uuid        not null,
    subject_type text        not null,
    subject_id   text        not null,
    purpose      text        not null,
    due_at       timestamptz not null,
    token        uuid        not null,
    attempts     integer     not null default 0,
    primary key (company_id, subject_type, subject_id, purpose)
);
comment on table  switchboard.timer is 'One for each (subject, purpose): setting it again replaces it. Deleted in the transaction that has its effect.';
comment on column switchboard.timer.company_id is 'The tenant.';
comment on column switchboard.timer.subject_type is 'What it is about, as in the event log.';
comment on column switchboard.timer.subject_id is 'Which one.';
comment on column switchboard.timer.purpose is 'What is to happen: miss, expire.';
comment on column switchboard.timer.due_at is 'Not before this moment of switchboard.now().';
comment on column switchboard.timer.token is 'Changes at each setting, so that a scheduler that read an earlier setting does nothing.';
comment on column switchboard.timer.attempts is 'Failed tries since it was set; each doubles the wait for the next.';

-- A server lists only the purposes that it handles; those of a newer build must not stand in front of them.
create index timer_due on switchboard.timer (subject_type, purpose, due_at);
comment on index switchboard.timer_due is
    'The due timers of each purpose, the longest due first; when the next one is due.';
