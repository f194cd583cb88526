-- Races and chats: a customer's request is one race, offered as one chat to each agent; the first to start wins.

-- Every foreign key is checked by a query of its own for each row, which also locks the row that the key refers to. So a
-- key is left out if another key implies it, or if every transaction that inserts the row already holds a lock on the row
-- that it would refer to. Figures: docs/performance.md.

create table switchboard.chat_race (
    company_id  uuid        not null,
    key         uuid        not null,
    website_id  uuid        not null,
    owner       text        not null,
    state       text        not null check (state in ('WAITING', 'WON', 'OFFLINE', 'CANCELED', 'EXPIRED', 'FAILED')),
    winner_id   uuid,
    failures    jsonb       not null default '[]',
    reoffers    boolean     not null default false,
    expires_at  timestamptz not null,
    version     integer     not null default 1,
    revision    bigint      not null default 1,
    inserted_at timestamptz not null default switchboard.now(),
    updated_at  timestamptz not null default switchboard.now(),
    primary key (company_id, key),
    foreign key (company_id, website_id) references switchboard.website (company_id, id),
    constraint won_has_winner check ((state = 'WON') = (winner_id is not null))
);
comment on table  switchboard.chat_race is 'One customer request. Its row lock decides everything about its chats: whoever creates, starts, ends, cancels, misses or expires one of them locks this row first, in a statement of its own.';
comment on constraint chat_race_company_id_website_id_fkey on switchboard.chat_race is
    'The only check that a visitor''s website exists: its token names the website, and createChatRace does not read it.';
comment on column switchboard.chat_race.company_id is 'The company of the website.';
comment on column switchboard.chat_race.key is 'Chosen by the customer''s client or by the server.';
comment on column switchboard.chat_race.website_id is 'Where the customer asked.';
comment on column switchboard.chat_race.owner is 'sub of the first creator; another visitor''s use of the key is a conflict.';
comment on column switchboard.chat_race.state is 'WAITING until won, canceled or expired. OFFLINE: nobody on shift. FAILED: no offer is left, none was taken.';
comment on column switchboard.chat_race.winner_id is 'The chat that was started; kept after it ends.';
comment on column switchboard.chat_race.failures is 'Contracts that could not be offered the chat: [{contractId, code, message}].';
comment on column switchboard.chat_race.reoffers is 'Opened by createChatRace: when the winner vanishes before it said anything, the withdrawn offers go out again.';
comment on column switchboard.chat_race.expires_at is 'When unanswered offers are withdrawn.';
comment on column switchboard.chat_race.version is 'Raised at each change.';
comment on column switchboard.chat_race.revision is 'Raised by every write of the race or one of its chats (but messages), under the race''s row lock. A decision made without a lock is written only if it is still what was read.';
comment on column switchboard.chat_race.inserted_at is 'When the customer asked.';
comment on column switchboard.chat_race.updated_at is 'When it last changed.';
comment on index switchboard.chat_race_pkey is
    'The race of a key: every lock of a race, and on conflict when a race is inserted.';

create table switchboard.chat (
    company_id    uuid        not null,
    id            uuid        not null,
    key           uuid        not null,
    website_id    uuid        not null,
    contract_id   uuid        not null,
    agent_id      uuid,
    visitor       text        not null,
    status        text        not null check (status in ('ACTIVE', 'STARTED', 'FINISHED')),
    missed        boolean     not null default false,
    close_reason  text        check (close_reason in ('COMPLETED', 'RESCINDED', 'CANCELED', 'EXPIRED')),
    headline      text        not null,
    customer_name text        not null,
    ip_address    inet,
    created_from  inet,
    rating        integer     check (rating between 1 and 5),
    miss_at       timestamptz,
    message_count integer     not null default 0,
    version       integer     not null default 1,
    inserted_at   timestamptz not null default switchboard.now(),
    updated_at    timestamptz not null default switchboard.now(),
    started_at    timestamptz,
    finished_at   timestamptz,
    primary key (company_id, id),
    unique (company_id, key, contract_id),
    constraint finished_has_reason check ((status = 'FINISHED') = (close_reason is not null)),
    constraint finished_has_time check ((status = 'FINISHED') = (finished_at is not null))
);
comment on table  switchboard.chat is 'One offer of a race to one contract, and the conversation if its agent won.';
comment on column switchboard.chat.company_id is 'The tenant.';
comment on column switchboard.chat.id is 'The chat. Random enough that knowing it proves something.';
comment on column switchboard.chat.key is 'Its race. No foreign key: the row is inserted under the race''s lock.';
comment on column switchboard.chat.website_id is 'The race''s.';
comment on column switchboard.chat.contract_id is 'The contract that the chat is offered to; one chat for each contract in a race. No foreign key: the row is inserted under the contract''s lock.';
comment on column switchboard.chat.agent_id is 'The contract''s agent; follows the contract until the chat is finished. Here, so that an event alone tells who may see it.';
comment on column switchboard.chat.visitor is 'The race''s owner; only this consumer sees it.';
comment on column switchboard.chat.status is 'ACTIVE: offered. STARTED: being held; at most one of a race. FINISHED: over.';
comment on column switchboard.chat.missed is 'A flag, never an end: a missed chat can still be started.';
comment on column switchboard.chat.close_reason is 'RESCINDED: another agent won. CANCELED: the customer left. EXPIRED: nobody answered in time. COMPLETED: all else.';
comment on column switchboard.chat.headline is 'What the customer asked; becomes the first message when the chat starts.';
comment on column switchboard.chat.customer_name is 'As the customer gave it.';
comment on column switchboard.chat.ip_address is 'The customer''s.';
comment on column switchboard.chat.created_from is 'Remote address of the connection that asked, whatever the client says its address is. A widget without a token is shown chats of its own address only.';
comment on column switchboard.chat.rating is 'By the customer, 1 to 5.';
comment on column switchboard.chat.miss_at is 'When it is flagged missed, unless it is started or finished before.';
comment on column switchboard.chat.message_count is 'Messages so far; the version of the subject messages in the event log.';
comment on column switchboard.chat.version is 'Raised at each change of this row but message_count.';
comment on column switchboard.chat.inserted_at is 'When it was offered.';
comment on column switchboard.chat.updated_at is 'When it last changed.';
comment on column switchboard.chat.started_at is 'When its agent answered.';
comment on column switchboard.chat.finished_at is 'When it ended or was withdrawn.';
comment on index switchboard.chat_pkey is
    'A chat of a company by its id: chat(id), every update of one chat, the winner of a race, the key of messages.';
comment on index switchboard.chat_company_id_key_contract_id_key is
    'One chat for each contract in a race. The chats of a race: read under its lock, won, withdrawn, offered again.';

-- The last line of defence behind the race's lock: never two winners.
create unique index chat_one_started on switchboard.chat (company_id, key) where status = 'STARTED';
comment on index switchboard.chat_one_started is
    'At most one started chat in a race, whatever else fails. The customer''s started chat when a stream begins. Holds started chats only, so it costs createChat nothing.';

-- Who sees what, newest first: the company, a website's or contract's chats, an agent's inbox, a visitor's own.
create index chat_newest on switchboard.chat (company_id, inserted_at);
comment on index switchboard.chat_newest is
    'The company''s chats by page, newest first, also of one website; the finished chats of a company''s stream when it begins.';

create index chat_contract on switchboard.chat (company_id, contract_id, inserted_at);
comment on index switchboard.chat_contract is
    'A contract''s chats by page, newest first; the finished chats of a contract''s stream when it begins. Without it the search reads every chat of the company when the contract has few.';

create index chat_agent on switchboard.chat (company_id, agent_id, inserted_at);
comment on index switchboard.chat_agent is
    'An agent''s chats by page, newest first; the finished chats of an agent''s stream when it begins.';

create index chat_visitor on switchboard.chat (company_id, visitor, inserted_at);
comment on index switchboard.chat_visitor is
    'A visitor''s chats by page, newest first; a visitor''s stream when it begins.';

-- What a stream shows at first: the few that are not over, however many are.
create index chat_unfinished on switchboard.chat (company_id, agent_id) where status <> 'FINISHED';
comment on index switchboard.chat_unfinished is
    'The chats that are not over, of an agent or of the company: an inbox when its stream begins, and a contract that changes its agent. Few rows, however many chats are finished.';

create index chat_created_from on switchboard.chat (company_id, created_from) where status <> 'FINISHED';
comment on index switchboard.chat_created_from is
    'The chats that are not over of a remote address: the stream chatChanged of a widget without a token when it begins. Few rows, however many chats are finished.';

-- Not unique: unique indexes begin with company_id. A caller without a token belongs to no company; what it proves is
-- that it knows the id.
create index chat_id on switchboard.chat (id);
comment on index switchboard.chat_id is
    'A chat by its id alone: chat(id), messages and streams of a caller without a token, who belongs to no company.';

insert into switchboard.event_subject (subject_type, relation, id_column, id_type, version_column, names, scope_fields)
values
    ('chat_race', 'chat_race', 'key', 'uuid', 'version',
        '{companyId,key,websiteId,owner,state,winnerId,failures,reoffers,expiresAt,agentIds,version,insertedAt,updatedAt}',
        '{}'),
    ('chat', 'chat', 'id', 'uuid', 'version',
        '{companyId,id,key,websiteId,contractId,agentId,visitor,status,missed,closeReason,headline,customerName,ipAddress,createdFrom,rating,missAt,messageCount,version,insertedAt,updatedAt,startedAt,finishedAt}',
        '{key,contractId,visitor,agentId,createdFrom}');
