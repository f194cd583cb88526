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
    occurred_at  timestamptz not null default switchboard.now(),
    xid          xid8        not null default pg_current_xact_id(),
    primary key (company_id, subject_type, subject_id, version, occurred_at)
) partition by range (occurred_at);
comment on table  switchboard.event is 'One row for each change of a subject, written in the transaction that makes the change. Partitioned by day, kept for SWITCHBOARD_EVENT_RETENTION.';
comment on column switchboard.event.company_id is 'The tenant.';
comment on column switchboard.event.subject_type is 'What changed: chat, chat_race, messages, contract, api_key.';
comment on column switchboard.event.subject_id is 'Which one.';
comment on column switchboard.event.version is 'The subject''s own, raised by one under its row lock: no holes, no repeats.';
comment on column switchboard.event.type is 'What happened to it: ChatStarted, RaceWon.';
comment on column switchboard.event.actor is 'sub of the caller; null for a timer.';
comment on column switchboard.event.payload is 'The subject''s flat record at this version. json, not jsonb: it is written once and read as text.';
comment on column switchboard.event.previous is 'Earlier values of the fields that this change altered, so that a filtered stream can tell that a record left it. Null when the subject is new.';
comment on column switchboard.event.occurred_at is 'Database time, read after the subject''s lock.';
comment on column switchboard.event.xid is 'The writing transaction. Readers keep their place by it: sequence numbers become visible out of order, and a snapshot''s bounds do not survive a crash.';

-- How readers find what is new since their position.
create index event_xid on switchboard.event (xid);
-- How one company's stream finds what it missed, without reading that company's whole day or everybody's events.
create index event_company_xid on switchboard.event (company_id, xid);

create table switchboard.event_floor (
    only_row boolean primary key default true check (only_row),
    xid      xid8    not null
);
comment on table  switchboard.event_floor is 'How far the log has been dropped. Committed before the drop, so that a resume never mistakes a dropped stretch for a quiet one.';
comment on column switchboard.event_floor.only_row is 'Makes this a table of one row.';
comment on column switchboard.event_floor.xid is 'Greatest transaction among the events ever dropped; 0 before the first drop.';
insert into switchboard.event_floor (xid) values ('0');

create function switchboard.add_event_days(p_until date) returns integer
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_day   date := (switchboard.now() at time zone 'UTC')::date;
    v_name  text;
    v_added integer := 0;
begin
    -- One maintainer at a time; the others find the work done.
    perform pg_advisory_xact_lock(hashtext('switchboard.event_days'));
    while v_day <= p_until loop
        v_name := 'event_' || to_char(v_day, 'YYYYMMDD');
        if to_regclass('switchboard.' || v_name) is null then
            -- Built alone and then attached: "create table … partition of" would wait behind every reader
            -- and block every insert meanwhile.
            execute format('create table switchboard.%I (like switchboard.event including all)', v_name);
            execute format(
                'alter table switchboard.%I add constraint day check (occurred_at >= %L and occurred_at < %L)',
                v_name, v_day::timestamp at time zone 'UTC', (v_day + 1)::timestamp at time zone 'UTC');
            execute format(
                'alter table switchboard.event attach partition switchboard.%I for values from (%L) to (%L)',
                v_name, v_day::timestamp at time zone 'UTC', (v_day + 1)::timestamp at time zone 'UTC');
            v_added := v_added + 1;
        end if;
        v_day := v_day + 1;
    end loop;
    return v_added;
end
$$;
comment on function switchboard.add_event_days(date) is
    'Attaches the log''s missing daily partitions from today (UTC) until the given day; answers how many. There is no default partition, so this must stay ahead.';

select switchboard.add_event_days((switchboard.now() at time zone 'UTC')::date + 3);
