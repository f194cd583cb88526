-- The call queue: slots, lines, items, campaigns. What the tables mean together is told in src/call_queue/mod.rs.

create table switchboard.call_queue_settings (
    only_row     boolean  primary key default true check (only_row),
    user_calls   integer  not null default 2 check (user_calls between 1 and 100),
    system_calls integer  not null default 10 check (system_calls between 1 and 1000),
    slot_lease   interval not null default interval '2 minutes' check (slot_lease > interval '0'),
    aging        interval not null default interval '10 minutes' check (aging >= interval '0')
);
comment on table  switchboard.call_queue_settings is 'Settings of the call queue, as one row: SQL functions see no environment. Servers write it when they start.';
comment on column switchboard.call_queue_settings.only_row is 'Makes this a table of one row.';
comment on column switchboard.call_queue_settings.user_calls is 'Slots of a user that has no limit of its own.';
comment on column switchboard.call_queue_settings.system_calls is 'Slots of a company that has no limit of its own.';
comment on column switchboard.call_queue_settings.slot_lease is 'A slot without news for that long is asked about; after as long again its call ends.';
comment on column switchboard.call_queue_settings.aging is 'How long direct calls may keep a user''s campaigns waiting; 0: for ever.';
insert into switchboard.call_queue_settings default values;

create table switchboard.call_slots (
    company_id   uuid    primary key references switchboard.company (id),
    system_limit integer check (system_limit between 1 and 1000),
    active       integer not null default 0 check (active >= 0),
    users        integer not null default 0 check (users >= 0),
    turn         bigint  not null default 0,
    min_turn     bigint  not null default 0,
    is_behind    boolean not null default false,
    due_at       timestamptz,
    lease_at     timestamptz,
    armed_due    timestamptz,
    armed_lease  timestamptz
) with (fillfactor = 50);
comment on table  switchboard.call_slots is 'The one lock of a company''s queue. Everything that takes or frees a slot, or enters, leaves, opens or closes a line, locks this row first of all, in a statement of its own. Users, lines, items and campaigns are data under it.';
comment on column switchboard.call_slots.company_id is 'The tenant.';
comment on column switchboard.call_slots.system_limit is 'Most slots of the company; null: as in call_queue_settings.';
comment on column switchboard.call_slots.active is 'Slots in use: rows of active_calls.';
comment on column switchboard.call_slots.users is 'Users that have a slot or an item that may be dispatched.';
comment on column switchboard.call_slots.turn is 'The last turn that a user was given.';
comment on column switchboard.call_slots.min_turn is 'No user that may be dispatched has a smaller turn. Scans start here, not at dead index entries.';
comment on column switchboard.call_slots.is_behind is 'The last dispatch stopped at its most rows and left work. Nobody is admitted past it.';
comment on column switchboard.call_slots.due_at is 'When the first retry is due, or work that a dispatch left.';
comment on column switchboard.call_slots.lease_at is 'When slots are looked at for silence.';
comment on column switchboard.call_slots.armed_due is 'Time of the timer for due_at.';
comment on column switchboard.call_slots.armed_lease is 'Time of the timer for lease_at.';

create table switchboard.call_queue_user (
    company_id         uuid    not null references switchboard.company (id),
    user_id            text    not null check (length(user_id) between 1 and 200),
    direct_line        uuid    not null,
    call_limit         integer check (call_limit between 1 and 100),
    active_direct      integer not null default 0 check (active_direct >= 0),
    active_campaign    integer not null default 0 check (active_campaign >= 0),
    queued_direct      integer not null default 0 check (queued_direct >= 0),
    queued_campaign    integer not null default 0 check (queued_campaign >= 0),
    queued             integer generated always as (queued_direct + queued_campaign) stored,
    turn               bigint  not null default 0,
    is_waiting         boolean not null default false,
    may_dispatch       boolean not null default false,
    is_busy            boolean not null default false,
    virtual_time       bigint  not null default 0,
    campaign_since     timestamptz,
    held_ms            integer[] not null default '{}',
    waited_ms          integer[] not null default '{}',
    primary key (company_id, user_id)
) with (fillfactor = 50);
comment on table  switchboard.call_queue_user is 'A user''s limit, counters and turn. Written under the lock of call_slots.';
comment on column switchboard.call_queue_user.company_id is 'The tenant.';
comment on column switchboard.call_queue_user.user_id is 'The user.';
comment on column switchboard.call_queue_user.direct_line is 'The line of its direct calls.';
comment on column switchboard.call_queue_user.call_limit is 'Most slots of the user; null: as in call_queue_settings.';
comment on column switchboard.call_queue_user.active_direct is 'Slots in use by direct and inbound calls.';
comment on column switchboard.call_queue_user.active_campaign is 'Slots in use by campaigns'' calls.';
comment on column switchboard.call_queue_user.queued_direct is 'Direct items that are queued, due or not.';
comment on column switchboard.call_queue_user.queued_campaign is 'Campaigns'' items that are queued, due or not, in open lines or not.';
comment on column switchboard.call_queue_user.queued is 'Their sum, by which operators list users.';
comment on column switchboard.call_queue_user.turn is 'The smallest is next. A user gets the next one at each dispatch, and when it begins to wait.';
comment on column switchboard.call_queue_user.is_waiting is 'It has an item that may be dispatched if there were slots.';
comment on column switchboard.call_queue_user.may_dispatch is 'It waits, and is below its own limit.';
comment on column switchboard.call_queue_user.is_busy is 'It waits or has a slot: counted in call_slots.users.';
comment on column switchboard.call_queue_user.virtual_time is 'The tag of its last dispatched campaign item. A line that begins to wait starts from here.';
comment on column switchboard.call_queue_user.campaign_since is 'Since when its campaigns wait: their last dispatch, or when the first of them began to wait. Null: none waits.';
comment on column switchboard.call_queue_user.held_ms is 'How long its last 50 calls held their slots, the newest last.';
comment on column switchboard.call_queue_user.waited_ms is 'How long its last 50 dispatched items had waited, the newest last.';
create index call_queue_user_turn on switchboard.call_queue_user (company_id, turn) where may_dispatch;
comment on index switchboard.call_queue_user_turn is 'Who is next.';
create index call_queue_user_queued on switchboard.call_queue_user (company_id, queued desc, user_id);
comment on index switchboard.call_queue_user_queued is 'Operators'' list: the longest lines first.';

create table switchboard.campaign (
    company_id             uuid    not null references switchboard.company (id),
    id                     uuid    not null,
    user_id                text    not null,
    agent_id               text    not null check (length(agent_id) between 1 and 200),
    name                   text    not null check (length(name) between 1 and 200),
    status                 text    not null check (status in ('DRAFT', 'SCHEDULED', 'ACTIVE', 'PAUSED', 'COMPLETED', 'CANCELED')),
    first_call_time        text    not null default '00:00' check (first_call_time ~ '^[0-2][0-9]:[0-5][0-9]$'),
    last_call_time         text    not null default '24:00' check (last_call_time ~ '^[0-2][0-9]:[0-5][0-9]$'),
    time_zone              text    not null default 'UTC',
    max_retries            integer not null default 0 check (max_retries between 0 and 5),
    retry_interval_minutes integer not null default 60 check (retry_interval_minutes between 1 and 1440),
    weight                 integer not null default 1 check (weight between 1 and 100),
    starts_at              timestamptz,
    is_window_open         boolean not null default true,
    window_turns_at        timestamptz,
    queued                 integer not null default 0 check (queued >= 0),
    processing             integer not null default 0 check (processing >= 0),
    completed              integer not null default 0,
    failed                 integer not null default 0,
    canceled               integer not null default 0,
    skipped                integer not null default 0,
    is_touched             boolean not null default false,
    version                integer not null default 1,
    inserted_at            timestamptz not null default switchboard.now(),
    updated_at             timestamptz not null default switchboard.now(),
    primary key (company_id, id),
    foreign key (company_id, user_id) references switchboard.call_queue_user (company_id, user_id),
    constraint scheduled_has_start check (status <> 'SCHEDULED' or starts_at is not null)
) with (fillfactor = 50);
comment on table  switchboard.campaign is 'A list of contacts to be called within a daily window. Written under the lock of call_slots.';
comment on column switchboard.campaign.company_id is 'The tenant.';
comment on column switchboard.campaign.id is 'The campaign; also its line.';
comment on column switchboard.campaign.user_id is 'Whose slots its calls take.';
comment on column switchboard.campaign.agent_id is 'Who speaks in its calls.';
comment on column switchboard.campaign.name is 'For people.';
comment on column switchboard.campaign.status is 'DRAFT, SCHEDULED and PAUSED take contacts and dispatch none. CANCELED is final. COMPLETED: nothing is open; the next contact makes it ACTIVE.';
comment on column switchboard.campaign.first_call_time is 'When the daily window opens, HH:MM in its time zone.';
comment on column switchboard.campaign.last_call_time is 'When it closes, exclusive. Equal to the first: the whole day. Smaller: over midnight.';
comment on column switchboard.campaign.time_zone is 'IANA name.';
comment on column switchboard.campaign.max_retries is 'New tries of a contact after BUSY, NO_ANSWER or FAILED.';
comment on column switchboard.campaign.retry_interval_minutes is 'Between two tries.';
comment on column switchboard.campaign.weight is 'Its share among the campaigns of its user.';
comment on column switchboard.campaign.starts_at is 'When a SCHEDULED one becomes ACTIVE.';
comment on column switchboard.campaign.is_window_open is 'As servers computed it at the last turn of the window.';
comment on column switchboard.campaign.window_turns_at is 'When the window opens or closes next; null: never.';
comment on column switchboard.campaign.queued is 'Items that wait.';
comment on column switchboard.campaign.processing is 'Items that have a slot.';
comment on column switchboard.campaign.completed is 'Items that were reached.';
comment on column switchboard.campaign.failed is 'Items that failed for good.';
comment on column switchboard.campaign.canceled is 'Items that were canceled.';
comment on column switchboard.campaign.skipped is 'Items whose number a dialer refused.';
comment on column switchboard.campaign.is_touched is 'Its counters were changed by the present transaction, which appends an event before it ends.';
comment on column switchboard.campaign.version is 'Raised at each event.';
comment on column switchboard.campaign.inserted_at is 'When it was created.';
comment on column switchboard.campaign.updated_at is 'When it last changed.';
create index campaign_touched on switchboard.campaign (company_id) where is_touched;
comment on index switchboard.campaign_touched is 'Empty outside transactions.';
create index campaign_user on switchboard.campaign (company_id, user_id, id);

create table switchboard.call_queue_line (
    company_id       uuid    not null,
    id               uuid    not null,
    user_id          text    not null,
    campaign_id      uuid,
    head             bigint  not null default 1,
    tail             bigint  not null default 0,
    n                integer not null default 0 check (n >= 0),
    retries          integer not null default 0 check (retries >= 0),
    canceled_through bigint  not null default 0,
    canceled_at      timestamptz,
    is_open          boolean not null default true,
    weight           integer not null default 1 check (weight between 1 and 100),
    finish           bigint  not null default 0,
    primary key (company_id, id),
    foreign key (company_id, user_id) references switchboard.call_queue_user (company_id, user_id),
    constraint campaign_is_its_line check (campaign_id is null or campaign_id = id)
) with (fillfactor = 50);
comment on table  switchboard.call_queue_line is 'A user has one line of direct calls and one for each campaign. Written under the lock of call_slots.';
comment on column switchboard.call_queue_line.company_id is 'The tenant.';
comment on column switchboard.call_queue_line.id is 'The line; the campaign''s id, if it is a campaign''s.';
comment on column switchboard.call_queue_line.user_id is 'Whose.';
comment on column switchboard.call_queue_line.campaign_id is 'Null for the direct line.';
comment on column switchboard.call_queue_line.head is 'The smallest number in the line; tail + 1 when it is empty.';
comment on column switchboard.call_queue_line.tail is 'The last number that was given.';
comment on column switchboard.call_queue_line.n is 'Items with a number that are queued.';
comment on column switchboard.call_queue_line.retries is 'Items that are queued, have no number and get one when they are due.';
comment on column switchboard.call_queue_line.canceled_through is 'Queued items with a number up to this one are canceled, whatever their rows say.';
comment on column switchboard.call_queue_line.canceled_at is 'When that happened. Retries that began to wait before are canceled too.';
comment on column switchboard.call_queue_line.is_open is 'False while its campaign may not dispatch. Its items keep their numbers.';
comment on column switchboard.call_queue_line.weight is 'The campaign''s.';
comment on column switchboard.call_queue_line.finish is 'The tag of its last dispatched item. The j-th item from the head has the tag finish + j * 2^32 / weight; the smallest (tag, line) of a user is next.';
create index call_queue_line_user on switchboard.call_queue_line (company_id, user_id) where campaign_id is not null;
comment on index switchboard.call_queue_line_user is 'The campaigns'' lines of a user.';

create table switchboard.call_queue (
    company_id     uuid    not null,
    id             uuid    not null,
    line_id        uuid    not null,
    user_id        text    not null,
    call_type      text    not null check (call_type in ('DIRECT', 'CAMPAIGN')),
    campaign_id    uuid,
    number         bigint,
    status         text    not null check (status in ('QUEUED', 'PROCESSING', 'COMPLETED', 'FAILED', 'CANCELED', 'SKIPPED')),
    call_id        uuid    not null,
    attempt        integer not null default 1 check (attempt > 0),
    agent_id       text    not null check (length(agent_id) between 1 and 200),
    phone_number   text,
    contact_id     text,
    contact_name   text,
    user_data      jsonb,
    failure_reason text,
    not_before     timestamptz,
    version        integer not null default 1,
    queued_at      timestamptz not null,
    requeued_at    timestamptz not null,
    left_at        timestamptz,
    retries        integer not null default 0,
    revision       integer not null default 1,
    primary key (company_id, id),
    foreign key (company_id, line_id) references switchboard.call_queue_line (company_id, id),
    constraint campaign_item_has_campaign check ((call_type = 'CAMPAIGN') = (campaign_id is not null)),
    constraint item_names_the_other_side check (phone_number is not null or contact_id is not null),
    constraint queued_has_a_number_or_a_time check (status <> 'QUEUED' or (number is null) = (not_before is not null)),
    constraint queued_is_in_line check ((status = 'QUEUED') = (left_at is null))
) with (fillfactor = 80);
comment on table  switchboard.call_queue is 'Items of the queue: calls that wait, have waited, or are tried again. Written under the lock of call_slots.';
comment on column switchboard.call_queue.company_id is 'The tenant.';
comment on column switchboard.call_queue.id is 'The item.';
comment on column switchboard.call_queue.line_id is 'The line in which it waits.';
comment on column switchboard.call_queue.user_id is 'Whose slots its call takes.';
comment on column switchboard.call_queue.call_type is 'DIRECT or CAMPAIGN.';
comment on column switchboard.call_queue.campaign_id is 'Set if and only if it is a campaign''s.';
comment on column switchboard.call_queue.number is 'Its number in the line; null while a retry is not due.';
comment on column switchboard.call_queue.status is 'QUEUED until dispatched, PROCESSING while its call has a slot, then what came of it.';
comment on column switchboard.call_queue.call_id is 'Its call: of this attempt. The row of the call is born when it is dispatched.';
comment on column switchboard.call_queue.attempt is 'Which try its call is.';
comment on column switchboard.call_queue.agent_id is 'Who speaks.';
comment on column switchboard.call_queue.phone_number is 'The other side, in E.164.';
comment on column switchboard.call_queue.contact_id is 'The company''s own name for the other side.';
comment on column switchboard.call_queue.contact_name is 'The name of the other side.';
comment on column switchboard.call_queue.user_data is 'Carried, not interpreted.';
comment on column switchboard.call_queue.failure_reason is 'End reason of its last call, if that failed.';
comment on column switchboard.call_queue.not_before is 'A retry is due then; null once it has its number.';
comment on column switchboard.call_queue.version is 'Version of its call while the call has no row.';
comment on column switchboard.call_queue.queued_at is 'When it was first queued.';
comment on column switchboard.call_queue.requeued_at is 'When this attempt was queued.';
comment on column switchboard.call_queue.left_at is 'When this attempt left the line.';
comment on column switchboard.call_queue.retries is 'Attempts that counted against the campaign''s rule.';
comment on column switchboard.call_queue.revision is 'Raised at each change of the item: a higher one is the newer state.';
create index call_queue_number on switchboard.call_queue (company_id, line_id, number) where status = 'QUEUED' and number is not null;
comment on index switchboard.call_queue_number is 'The order of a line, read from its head on.';
create index call_queue_canceled on switchboard.call_queue (company_id, line_id, number) where status = 'CANCELED' and number is not null;
comment on index switchboard.call_queue_canceled is 'Holes inside a line: at most a block of them is counted one by one.';
create index call_queue_due on switchboard.call_queue (company_id, not_before) where status = 'QUEUED' and number is null;
comment on index switchboard.call_queue_due is 'Retries, the earliest first.';
create unique index call_queue_contact on switchboard.call_queue (company_id, campaign_id, contact_id)
    where campaign_id is not null and status in ('QUEUED', 'PROCESSING');
comment on index switchboard.call_queue_contact is 'One open item for each campaign and contact.';
create unique index call_queue_call on switchboard.call_queue (company_id, call_id);
comment on index switchboard.call_queue_call is 'The item of a call.';
create index call_queue_left on switchboard.call_queue (company_id, user_id, call_type, left_at);
comment on index switchboard.call_queue_left is 'The order of dispatches, by which violations of priority are counted.';
create index call_queue_open on switchboard.call_queue (company_id, user_id, id) where status in ('QUEUED', 'PROCESSING');
comment on index switchboard.call_queue_open is 'Operators'' list of a user''s open items.';

create table switchboard.call_queue_hole (
    company_id uuid     not null,
    line_id    uuid     not null,
    level      smallint not null check (level in (1, 2)),
    block      bigint   not null,
    n          integer  not null check (n > 0),
    primary key (company_id, line_id, level, block),
    foreign key (company_id, line_id) references switchboard.call_queue_line (company_id, id)
);
comment on table  switchboard.call_queue_hole is 'How many items left the inside of a line, for each block of 256 numbers (level 1) and of 65,536 (level 2). Only blocks with a hole have a row. Blocks before the head are forgotten.';
comment on column switchboard.call_queue_hole.company_id is 'The tenant.';
comment on column switchboard.call_queue_hole.line_id is 'The line.';
comment on column switchboard.call_queue_hole.level is '1: blocks of 256 numbers; 2: of 65,536.';
comment on column switchboard.call_queue_hole.block is 'Number divided by the block''s size.';
comment on column switchboard.call_queue_hole.n is 'Holes in it.';

create table switchboard.active_calls (
    company_id uuid not null references switchboard.call_slots (company_id),
    call_id    uuid not null,
    user_id    text not null,
    call_type  text not null check (call_type in ('DIRECT', 'CAMPAIGN')),
    queue_id   uuid,
    since      timestamptz not null,
    heard_at   timestamptz not null,
    asked_at   timestamptz,
    primary key (company_id, call_id)
) with (fillfactor = 50);
comment on table  switchboard.active_calls is 'The slots in use, from RESERVED to ENDING. Rows come and go under the lock of call_slots; renewing one takes its call''s lock or none.';
comment on column switchboard.active_calls.company_id is 'The tenant.';
comment on column switchboard.active_calls.call_id is 'The call that has the slot.';
comment on column switchboard.active_calls.user_id is 'Whose limit counts it.';
comment on column switchboard.active_calls.call_type is 'DIRECT or CAMPAIGN.';
comment on column switchboard.active_calls.queue_id is 'The item that it was dispatched for; null: it did not wait.';
comment on column switchboard.active_calls.since is 'When it got the slot.';
comment on column switchboard.active_calls.heard_at is 'The last news. Not indexed, so that renewing moves no index entry.';
comment on column switchboard.active_calls.asked_at is 'When servers began to ask about it; null: they do not.';

alter table switchboard.call add column asked boolean not null default false;
comment on column switchboard.call.asked is 'Nothing was heard of it for the length of a slot''s lease: dialers are asked about it.';
update switchboard.event_subject set names = names || '{asked}' where subject_type = 'call';

insert into switchboard.event_subject (subject_type, relation, id_column, id_type, version_column, scope_fields, names) values
    ('campaign', 'campaign', 'id', 'uuid', 'version', '{}',
        '{companyId,id,userId,agentId,name,status,firstCallTime,lastCallTime,timeZone,maxRetries,retryIntervalMinutes,weight,startsAt,isWindowOpen,windowTurnsAt,queued,processing,completed,failed,canceled,skipped,version,insertedAt,updatedAt}');
