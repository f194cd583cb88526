-- Coordination of opposite calls on one chat: who holds it, who waits, which requests are finished.

create table switchboard.operation_line (
    company_id   uuid        not null references switchboard.company (id),
    chat_id      text        not null check (length(chat_id) between 1 and 128),
    version      integer     not null default 0,
    last_place   bigint      not null default 0,
    last_granted bigint      not null default 0,
    last_token   bigint      not null default 0,
    waiting      integer     not null default 0 check (waiting >= 0),
    start_failed boolean     not null default false,
    end_failed   boolean     not null default false,
    call_type    text        check (call_type in ('START_CHAT', 'END_CHAT')),
    principal    text,
    request_id   text,
    attempt      uuid,
    granted_at   timestamptz,
    expires_at   timestamptz,
    claim_by     timestamptz,
    held_for_ms  integer     not null default 0,
    used_at      timestamptz not null default switchboard.now(),
    primary key (company_id, chat_id),
    constraint holder_is_whole check (num_nulls(call_type, principal, request_id, attempt, granted_at, expires_at) in (0, 6)),
    constraint claim_has_holder check (claim_by is null or call_type is not null),
    constraint waiters_have_holder check (waiting = 0 or call_type is not null)
) with (fillfactor = 50);
comment on table  switchboard.operation_line is 'The line before one chat: at most one holder, and how many wait. Its row lock decides who enters; for a chat of ours the lock of the chat''s race comes first, because startChat and endChat read the line under that lock.';
comment on column switchboard.operation_line.company_id is 'The tenant.';
comment on column switchboard.operation_line.chat_id is 'A chat here, or an id that the company uses elsewhere. A UUID is in lower case.';
comment on column switchboard.operation_line.version is 'Raised at each event of the subject operation.';
comment on column switchboard.operation_line.last_place is 'The number of the newest waiter: places are given under the line''s lock.';
comment on column switchboard.operation_line.last_granted is 'The place that was granted last: the search for the next waiter starts behind it, never at dead index entries.';
comment on column switchboard.operation_line.last_token is 'The newest fencing token. It grows with each grant: the greater of the last one plus 1 and the microseconds of the database''s clock.';
comment on column switchboard.operation_line.waiting is 'Rows of operation_request that wait.';
comment on column switchboard.operation_line.start_failed is 'The last START_CHAT failed or expired.';
comment on column switchboard.operation_line.end_failed is 'The last END_CHAT failed or expired.';
comment on column switchboard.operation_line.call_type is 'Of the holder; null: the line is free.';
comment on column switchboard.operation_line.principal is 'Role and sub of the holder.';
comment on column switchboard.operation_line.request_id is 'The holder''s name for its request.';
comment on column switchboard.operation_line.attempt is 'The call of the holder that is answered: a repeat is another attempt.';
comment on column switchboard.operation_line.granted_at is 'When the holder was granted it.';
comment on column switchboard.operation_line.expires_at is 'End of the holder''s lease. Its token is stale from then on.';
comment on column switchboard.operation_line.claim_by is 'Set when a waiter was granted it: until then its server must have claimed the grant, else the grant is released as failed.';
comment on column switchboard.operation_line.held_for_ms is 'How long the holder waited.';
comment on column switchboard.operation_line.used_at is 'The last change. An idle line is deleted later, never before its events.';

create index operation_line_used on switchboard.operation_line (used_at);
comment on index switchboard.operation_line_used is 'The lines that have been idle for longest, which are deleted first.';

create table switchboard.operation_request (
    company_id       uuid        not null,
    chat_id          text        not null,
    principal        text        not null,
    request_id       text        not null check (length(request_id) between 1 and 200),
    call_type        text        not null check (call_type in ('START_CHAT', 'END_CHAT')),
    place            bigint,
    attempt          uuid,
    server_id        uuid,
    actor            text,
    opposite         text        check (opposite in ('START_CHAT', 'END_CHAT')),
    lease_ms         integer,
    began_at         timestamptz,
    began_version    integer,
    wait_until       timestamptz,
    forget_at        timestamptz,
    primary key (company_id, chat_id, principal, request_id),
    foreign key (company_id, chat_id) references switchboard.operation_line (company_id, chat_id) on delete cascade,
    constraint waits_or_is_finished check ((place is null) = (forget_at is not null)),
    constraint waiter_is_whole check (
        num_nulls(place, attempt, server_id, actor, opposite, lease_ms, began_at, began_version, wait_until) in (0, 9))
);
comment on table  switchboard.operation_request is 'A request that waits in a line, or that is finished and remembered for a while so that a late repeat is refused. The holder is in operation_line.';
comment on column switchboard.operation_request.company_id is 'The tenant.';
comment on column switchboard.operation_request.chat_id is 'Whose line.';
comment on column switchboard.operation_request.principal is 'Role and sub of the caller: nobody meets another''s requests.';
comment on column switchboard.operation_request.request_id is 'Chosen by the caller.';
comment on column switchboard.operation_request.call_type is 'A request has one type.';
comment on column switchboard.operation_request.place is 'Of one that waits: its place. Null: finished.';
comment on column switchboard.operation_request.attempt is 'The call that waits. A repeat takes the place over with an attempt of its own; the older one may then neither leave nor be granted.';
comment on column switchboard.operation_request.server_id is 'The server that waits on behalf of the caller. When its stamp in service_alive is over 5 s old, the waiter is given up.';
comment on column switchboard.operation_request.actor is 'sub of the caller, for its events.';
comment on column switchboard.operation_request.opposite is 'The type of the holder when it arrived.';
comment on column switchboard.operation_request.lease_ms is 'The lease that it will be granted.';
comment on column switchboard.operation_request.began_at is 'When it arrived.';
comment on column switchboard.operation_request.began_version is 'The version of its event …Hold_Start.';
comment on column switchboard.operation_request.wait_until is 'It is granted nothing after this moment.';
comment on column switchboard.operation_request.forget_at is 'Of one that is finished: remembered until then.';

create unique index operation_request_place on switchboard.operation_request (company_id, chat_id, place) where place is not null;
comment on index switchboard.operation_request_place is 'The line in the order of arrival; no place is given twice.';

create index operation_request_forget on switchboard.operation_request (forget_at) where forget_at is not null;
comment on index switchboard.operation_request_forget is 'The finished requests that may be forgotten.';

insert into switchboard.event_subject (subject_type, relation, id_column, id_type, version_column, names, scope_fields)
values
    ('operation', 'operation_line', 'chat_id', 'text', 'version',
        '{companyId,chatId,version,event,requestId,holdReason,oppositeCallType,elapsedTimeInMilliseconds,waiter,parties,occurredAt}',
        '{waiter}');
