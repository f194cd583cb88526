-- The event log: what happened to each subject, in order. The truth behind every subscription, and the audit trail.

create table switchboard.event (
    company_id   uuid        not null,
    subject_type text        not null,
    subject_id   text        not null,
    version      integer     not null,
    type         text        not null,
    actor        text,
    payload      json        not null,
    previous     json,
    scopes       bigint[],
    occurred_at  timestamptz not null default switchboard.now(),
    xid          xid8        not null default pg_current_xact_id(),
    primary key (company_id, subject_type, subject_id, version, occurred_at)
) partition by range (occurred_at);
comment on table  switchboard.event is 'One row for each change of a subject, written in the transaction that makes the change. Partitioned by day, kept for SWITCHBOARD_EVENT_RETENTION.';
comment on column switchboard.event.company_id is 'The tenant.';
comment on column switchboard.event.subject_type is 'What changed: one of the kinds in event_subject.';
comment on column switchboard.event.subject_id is 'Which one.';
comment on column switchboard.event.version is 'The subject''s own, raised by one under its row lock: no holes, no repeats.';
comment on column switchboard.event.type is 'What happened to it: ChatStarted, RaceWon.';
comment on column switchboard.event.actor is 'sub of the caller; null for a timer.';
comment on column switchboard.event.payload is 'The subject''s flat record at this version. json, not jsonb: it is written once and read as text.';
comment on column switchboard.event.previous is 'Earlier values of the fields that this change altered, so that a filtered stream can tell that a record left it. Null when the subject is new.';
comment on column switchboard.event.scopes is 'Keys (event_scope_key) of the fields that streams are narrowed by, as they are after the change and as they were before. Empty: streams find the event by its subject only. Null: not known, so every stream of the company considers the event.';
comment on column switchboard.event.occurred_at is 'Database time, read after the subject''s lock.';
comment on column switchboard.event.xid is 'The writing transaction. Readers keep their place by it: sequence numbers become visible out of order, and a snapshot''s bounds do not survive a crash.';

create index event_xid on switchboard.event (xid, occurred_at);
comment on index switchboard.event_xid is
    'What is new since a reader''s position; the newest event; whether the log holds the event that a cursor was made at.';

create index event_company_xid on switchboard.event (company_id, xid);
comment on index switchboard.event_company_xid is
    'What one company''s stream has missed, without reading that company''s whole day or everybody''s events.';

-- New entries wait in a list of at most 256 kB, which every search reads, until they are merged together. Measured, for
-- an event with four keys: 16 us to insert with and without this index, 27 us where each entry is merged at once, 36 us
-- with a table of keys beside the log; a search with a full list takes 0.5 ms.
create index event_scopes on switchboard.event using gin (scopes)
    with (fastupdate = on, gin_pending_list_limit = 256) where scopes <> '{}';
comment on index switchboard.event_scopes is
    'What a stream of one visitor, agent or contract has missed, however busy its company is.';

create index event_unscoped on switchboard.event (company_id, xid) where scopes is null;
comment on index switchboard.event_unscoped is 'The events that were written without keys; normally none.';

create table switchboard.event_log (
    only_row   boolean     primary key default true check (only_row),
    id         uuid        not null default gen_random_uuid(),
    floor      xid8        not null,
    floor_at   timestamptz,
    -- gen_random_uuid() draws from the operating system: three of them carry more than the 256 bits that are kept.
    cursor_key bytea       not null
        default sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
        check (length(cursor_key) = 32)
);
comment on table  switchboard.event_log is 'The log itself, as one row: its name, how far it has been dropped, the key of its cursors.';
comment on column switchboard.event_log.only_row is 'Makes this a table of one row.';
comment on column switchboard.event_log.id is 'The log''s name. A copy of the database has the same one, so a position also names the database and the cluster.';
comment on column switchboard.event_log.floor is 'Greatest transaction among the events ever dropped; 0 before the first drop. Committed before the drop, so that a resume never mistakes a dropped stretch for a quiet one.';
comment on column switchboard.event_log.floor_at is 'Time of the newest event of that transaction: a position at the floor is recognised by it.';
comment on column switchboard.event_log.cursor_key is 'Seals cursors (AES-SIV). With another key, every cursor given out before is a resync.';
insert into switchboard.event_log (floor) values ('0');

create table switchboard.event_subject (
    subject_type   text   primary key,
    relation       text   not null,
    id_column      text   not null,
    id_type        text   not null check (id_type in ('uuid', 'text')),
    version_column text   not null,
    names          text[] not null,
    scope_fields   text[] not null,
    constraint scope_fields_are_names check (scope_fields <@ names)
);
comment on table  switchboard.event_subject is 'The kinds of subjects that append_event accepts: where a subject''s row is, and what its record contains. Each concept inserts its own.';
comment on column switchboard.event_subject.subject_type is 'As in the event log.';
comment on column switchboard.event_subject.relation is 'The table whose row lock orders the subject''s versions.';
comment on column switchboard.event_subject.id_column is 'Its second key column, after company_id.';
comment on column switchboard.event_subject.id_type is 'Type of that column, by which the subject''s id is looked up.';
comment on column switchboard.event_subject.version_column is 'The subject''s version.';
comment on column switchboard.event_subject.names is 'Names in the record''s JSON. A payload without one of them could not be decoded by servers.';
comment on column switchboard.event_subject.scope_fields is 'Those of the names by which streams are narrowed, as in the server: event.scopes has a key for each text in them. Empty: such events are found by their subject only.';
