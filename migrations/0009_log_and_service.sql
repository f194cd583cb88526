-- The log gets a name, a key for cursors and a fingerprint of its floor; SQL callers append to it; messages have numbers;
-- servers say that they live.

-- ---------------------------------------------------------------- the log's own row

alter table switchboard.event_floor rename to event_log;
alter table switchboard.event_log rename constraint event_floor_pkey to event_log_pkey;
alter table switchboard.event_log rename column xid to floor;
alter table switchboard.event_log
    add column floor_at   timestamptz,
    add column id         uuid  not null default gen_random_uuid(),
    -- gen_random_uuid() draws from the operating system: three of them carry more than the 256 bits that are kept.
    add column cursor_key bytea not null
        default sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
        check (length(cursor_key) = 32);
comment on table  switchboard.event_log is 'The log itself, as one row: its name, how far it has been dropped, the key of its cursors.';
comment on column switchboard.event_log.only_row is 'Makes this a table of one row.';
comment on column switchboard.event_log.floor is 'Greatest transaction among the events ever dropped; 0 before the first drop. Committed before the drop, so that a resume never mistakes a dropped stretch for a quiet one.';
comment on column switchboard.event_log.floor_at is 'Time of the newest event of that transaction: a position at the floor is recognised by it.';
comment on column switchboard.event_log.id is 'The log''s name. A copy of the database has the same one, so a position also names the database and the cluster.';
comment on column switchboard.event_log.cursor_key is 'Seals cursors (AES-SIV). With another key, every cursor given out before is a resync.';

-- The newest transaction and the time of its newest event: the fingerprint of a position.
drop index switchboard.event_xid;
create index event_xid on switchboard.event (xid, occurred_at);
comment on index switchboard.event_xid is
    'What is new since a reader''s position; the newest event; whether the log holds the event that a cursor was made at.';

-- ---------------------------------------------------------------- SQL callers

create table switchboard.event_subject (
    subject_type   text   primary key,
    relation       text   not null,
    id_column      text   not null,
    id_type        text   not null check (id_type in ('uuid', 'text')),
    version_column text   not null,
    names          text[] not null
);
comment on table  switchboard.event_subject is 'The kinds of subjects that append_event accepts: where a subject''s row is, and what its record contains.';
comment on column switchboard.event_subject.subject_type is 'As in the event log.';
comment on column switchboard.event_subject.relation is 'The table whose row lock orders the subject''s versions.';
comment on column switchboard.event_subject.id_column is 'Its second key column, after company_id.';
comment on column switchboard.event_subject.id_type is 'Type of that column, by which the subject''s id is looked up.';
comment on column switchboard.event_subject.version_column is 'The subject''s version.';
comment on column switchboard.event_subject.names is 'Names in the record''s JSON. A payload without one of them could not be decoded by servers.';

insert into switchboard.event_subject (subject_type, relation, id_column, id_type, version_column, names) values
    ('api_key', 'api_key', 'id', 'uuid', 'version',
        '{company_id,id,name,role,version,inserted_at,revoked_at}'),
    ('chat', 'chat', 'id', 'uuid', 'version',
        '{companyId,id,key,websiteId,contractId,agentId,visitor,status,missed,closeReason,headline,customerName,ipAddress,createdFrom,rating,missAt,messageCount,version,insertedAt,updatedAt,startedAt,finishedAt}'),
    ('chat_race', 'chat_race', 'key', 'uuid', 'version',
        '{companyId,key,websiteId,owner,state,winnerId,failures,reoffers,expiresAt,agentIds,version,insertedAt,updatedAt}'),
    ('contract', 'contract', 'id', 'uuid', 'version',
        '{companyId,id,websiteId,agentId,name,color,rate,status,session,chatMissTime,chatMissFee,jobId,proposalId,agentDeleted,version,insertedAt,updatedAt}'),
    ('messages', 'chat', 'id', 'uuid', 'message_count',
        '{companyId,chatId,id,number,websiteId,agentId,visitor,text,author,isAgent,opening,insertedAt,updatedAt}');

create function switchboard.append_event(
    p_company_id   uuid,
    p_subject_type text,
    p_subject_id   text,
    p_version      integer,
    p_type         text,
    p_payload      jsonb,
    p_before       jsonb default null,
    p_actor        text default null
) returns timestamptz
    language plpgsql
    security definer
    set search_path = switchboard, pg_temp
as $$
declare
    v_subject  event_subject;
    v_version  integer;
    v_newest   integer;
    v_missing  text;
    v_before   jsonb := p_before;
    v_previous jsonb;
    v_at       timestamptz;
begin
    -- Callers other than the owner of the schema act for companies that their role is granted.
    perform 1 from pg_namespace where nspname = 'switchboard' and pg_get_userbyid(nspowner) = session_user;
    if not found then
        if p_company_id is distinct from require_sql_company() then
            raise exception 'not the company of this caller' using errcode = 'insufficient_privilege';
        end if;
    end if;
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'append_event works under read committed only' using errcode = 'invalid_transaction_state';
    end if;
    select * into v_subject from event_subject where subject_type = p_subject_type;
    if not found then
        raise exception 'unknown subject type %', p_subject_type using errcode = 'invalid_parameter_value';
    end if;
    select name into v_missing from unnest(v_subject.names) as name where not p_payload ? name limit 1;
    if found then
        raise exception 'the payload of % lacks %', p_subject_type, v_missing
            using errcode = 'invalid_parameter_value';
    end if;

    -- Readers rely on it: a visible event is a flushed event. Until the end of the transaction.
    if current_setting('synchronous_commit') = 'off' then
        perform set_config('synchronous_commit', 'on', true);
    end if;

    -- The caller holds this lock, since it has just raised the version. If another transaction holds it, the caller has
    -- not: then it fails at once.
    execute format(
        'select %I from switchboard.%I where company_id = $1 and %I = $2::%s for no key update nowait',
        v_subject.version_column, v_subject.relation, v_subject.id_column, v_subject.id_type)
        into v_version using p_company_id, p_subject_id;
    if v_version is distinct from p_version then
        raise exception '% % has version %, not %', p_subject_type, p_subject_id, v_version, p_version
            using errcode = 'invalid_parameter_value';
    end if;
    select version, payload into v_newest, v_before
    from event
    where company_id = p_company_id and subject_type = p_subject_type and subject_id = p_subject_id
    order by version desc
    limit 1;
    if v_newest <> p_version - 1 then
        raise exception 'the newest event of % % has version %, so % does not follow it',
            p_subject_type, p_subject_id, v_newest, p_version using errcode = 'invalid_parameter_value';
    end if;

    -- Earlier values of what changed, as the server computes them: by them a filtered stream sees that a record left it.
    v_before := coalesce(p_before, v_before);
    if v_before is not null then
        select coalesce(jsonb_object_agg(name, value), '{}') into v_previous
        from jsonb_each(v_before) as earlier (name, value)
        where p_payload -> name is distinct from value;
    elsif p_version > 1 then
        raise exception 'the log no longer holds version % of % %: give the record before as p_before',
            p_version - 1, p_subject_type, p_subject_id using errcode = 'invalid_parameter_value';
    end if;

    insert into event (company_id, subject_type, subject_id, version, type, actor, payload, previous)
    values (p_company_id, p_subject_type, p_subject_id, p_version, p_type, p_actor, p_payload::text::json,
        v_previous::text::json)
    returning occurred_at into v_at;

    -- A commit with NOTIFY takes a lock of the whole cluster until it is flushed, and such commits go one by one. So of
    -- all transactions that append at once only one notifies, and the others are not slower by it; after such a wake-up
    -- the servers look again several times, for those that commit a little later. 2021041 names this lock.
    if pg_try_advisory_xact_lock(2021041) then
        perform pg_notify('switchboard_event', 'sql');
    end if;
    return v_at;
end
$$;
comment on function switchboard.append_event(uuid, text, text, integer, text, jsonb, jsonb, text) is
    'Appends one event about a subject whose row the caller''s transaction has changed, at the version that the row has now. p_payload: the record after the change, with the names that the server uses. p_before: the record before; null: as in the newest event. A caller other than the owner of the schema acts for the company that require_sql_company() gives. Returns the event''s time, which is read under the subject''s lock. Fails unless the version is the row''s and follows the newest event''s. Forces synchronous_commit on. Locks: the subject''s row.';
revoke execute on function switchboard.append_event(uuid, text, text, integer, text, jsonb, jsonb, text) from public;

-- ---------------------------------------------------------------- messages

-- Messages written before have the order of their times; the opening message is the first.
alter table switchboard.chat_message add column number integer;
update switchboard.chat_message as message
set number = numbered.number
from (
    select company_id, chat_id, id,
        row_number() over (partition by company_id, chat_id order by opening desc, inserted_at, id) as number
    from switchboard.chat_message
) as numbered
where numbered.company_id = message.company_id and numbered.chat_id = message.chat_id and numbered.id = message.id;
alter table switchboard.chat_message
    alter column number set not null,
    add constraint chat_message_number unique (company_id, chat_id, number),
    add check (number > 0);
comment on column switchboard.chat_message.number is 'Its place in the chat, from 1 without holes: given under the lock of the chat''s row, so that the order does not depend on any clock. The version of its event.';
comment on index switchboard.chat_message_number is 'A chat''s messages in their order: pages, the newest, what a stream begins with. No number is given twice.';

-- ---------------------------------------------------------------- servers that live

create table switchboard.service_alive (
    server_id  uuid        primary key,
    started_at timestamptz not null default switchboard.now(),
    stamped_at timestamptz not null default switchboard.now()
) with (fillfactor = 50);
comment on table  switchboard.service_alive is 'One row for each server process, stamped by it every second. A server whose stamp is over 5 s old is gone.';
comment on column switchboard.service_alive.server_id is 'Made anew at each start.';
comment on column switchboard.service_alive.started_at is 'The first stamp.';
comment on column switchboard.service_alive.stamped_at is 'The newest stamp. Not indexed, so that stamping moves no index entry.';

create table switchboard.service (
    only_row    boolean     primary key default true check (only_row),
    resumed_at  timestamptz,
    grace_until timestamptz,
    constraint grace_follows_outage check ((resumed_at is null) = (grace_until is null))
);
comment on table  switchboard.service is 'All servers together, as one row.';
comment on column switchboard.service.only_row is 'Makes this a table of one row.';
comment on column switchboard.service.resumed_at is 'When a server found that none had lived for over 5 s. Silence before this moment proves nothing about those who were silent. Null: that never happened.';
comment on column switchboard.service.grace_until is 'Until then, what came due before resumed_at is not held against anybody.';
insert into switchboard.service default values;

create function switchboard.resumed_at() returns timestamptz
    language sql stable parallel safe
    set search_path = switchboard, pg_temp
    return (select resumed_at from switchboard.service where only_row);
comment on function switchboard.resumed_at() is
    'Since when servers have lived without a break, or null. Staleness and leases count from the greater of the last news and this.';
