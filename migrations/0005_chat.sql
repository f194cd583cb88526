-- Chats: a customer's request is one race, offered as one chat to each agent; the first to start wins.

create table switchboard.website (
    company_id      uuid        not null references switchboard.company (id),
    id              uuid        not null,
    public_key      uuid        not null,
    name            text,
    logo_url        text,
    color           text,
    allowed_origins text[]      not null default '{}',
    inserted_at     timestamptz not null default switchboard.now(),
    primary key (company_id, id)
);
comment on table  switchboard.website is 'Where a widget is embedded.';
comment on column switchboard.website.company_id is 'The tenant.';
comment on column switchboard.website.id is 'Claim user_id of its visitors'' tokens.';
comment on column switchboard.website.public_key is 'In the widget''s page; exchanged for a visitor''s token by consumerLogin.';
comment on column switchboard.website.name is 'For people.';
comment on column switchboard.website.logo_url is 'Shown by the widget.';
comment on column switchboard.website.color is 'Shown by the widget.';
comment on column switchboard.website.allowed_origins is 'Browser origins that may call the API (CORS).';
comment on column switchboard.website.inserted_at is 'When it was created.';

-- Not unique: a unique index would have to begin with company_id. The application makes random keys.
create index website_public_key on switchboard.website (public_key);

create table switchboard.agent (
    company_id uuid not null references switchboard.company (id),
    id         uuid not null,
    name       text,
    primary key (company_id, id)
);
comment on table  switchboard.agent is 'Who answers chats.';
comment on column switchboard.agent.company_id is 'The tenant.';
comment on column switchboard.agent.id is 'Claim agent_id of the agent''s token.';
comment on column switchboard.agent.name is 'Shown to customers.';

create table switchboard.contract (
    company_id    uuid             not null,
    id            uuid             not null,
    website_id    uuid             not null,
    agent_id      uuid,
    name          text,
    color         text,
    rate          double precision,
    status        text             not null default 'active' check (status in ('active', 'inactive')),
    session       integer          not null check (session between 1 and 3),
    miss_time     integer,
    miss_fee      double precision,
    job_id        uuid,
    proposal_id   uuid,
    agent_deleted boolean          not null default false,
    version       integer          not null default 1,
    inserted_at   timestamptz      not null default switchboard.now(),
    updated_at    timestamptz      not null default switchboard.now(),
    primary key (company_id, id),
    foreign key (company_id, website_id) references switchboard.website (company_id, id),
    foreign key (company_id, agent_id) references switchboard.agent (company_id, id)
);
comment on table  switchboard.contract is 'An agent''s agreement to answer a website''s chats in one shift.';
comment on column switchboard.contract.company_id is 'The tenant.';
comment on column switchboard.contract.id is 'The contract.';
comment on column switchboard.contract.website_id is 'Whose visitors it serves.';
comment on column switchboard.contract.agent_id is 'Who answers. Changing it locks this row for update and moves its unfinished chats along.';
comment on column switchboard.contract.name is 'Shown by the widget.';
comment on column switchboard.contract.color is 'Shown by the widget.';
comment on column switchboard.contract.rate is 'Price; carried, not interpreted.';
comment on column switchboard.contract.status is 'Only active contracts are offered chats.';
comment on column switchboard.contract.session is 'Shift by UTC: 1 = 00-08, 2 = 08-16, 3 = 16-24.';
comment on column switchboard.contract.miss_time is 'Seconds until an unanswered chat is flagged missed; null, zero or negative: never.';
comment on column switchboard.contract.miss_fee is 'What a miss costs; carried, not interpreted.';
comment on column switchboard.contract.job_id is 'The company''s own reference.';
comment on column switchboard.contract.proposal_id is 'The company''s own reference.';
comment on column switchboard.contract.agent_deleted is 'The agent left; the contract gets no more chats.';
comment on column switchboard.contract.version is 'Raised at each change.';
comment on column switchboard.contract.inserted_at is 'When it was created.';
comment on column switchboard.contract.updated_at is 'When it last changed.';

create index contract_website on switchboard.contract (company_id, website_id);
create index contract_agent on switchboard.contract (company_id, agent_id);

create table switchboard.chat_race (
    company_id  uuid        not null references switchboard.company (id),
    key         uuid        not null,
    website_id  uuid        not null,
    owner       text        not null,
    state       text        not null check (state in ('WAITING', 'WON', 'OFFLINE', 'CANCELED', 'EXPIRED', 'FAILED')),
    winner_id   uuid,
    failures    jsonb       not null default '[]',
    expires_at  timestamptz not null,
    version     integer     not null default 1,
    inserted_at timestamptz not null default switchboard.now(),
    updated_at  timestamptz not null default switchboard.now(),
    primary key (company_id, key),
    foreign key (company_id, website_id) references switchboard.website (company_id, id),
    constraint won_has_winner check ((state = 'WON') = (winner_id is not null))
);
comment on table  switchboard.chat_race is 'One customer request. Its row lock decides everything about its chats: whoever creates, starts, ends, cancels, misses or expires one of them locks this row first, in a statement of its own.';
comment on column switchboard.chat_race.company_id is 'The tenant.';
comment on column switchboard.chat_race.key is 'Chosen by the customer''s client or by the server.';
comment on column switchboard.chat_race.website_id is 'Where the customer asked.';
comment on column switchboard.chat_race.owner is 'sub of the first creator; another visitor''s use of the key is a conflict.';
comment on column switchboard.chat_race.state is 'WAITING until won, canceled or expired. OFFLINE: nobody on shift. FAILED: no offer is left, none was taken.';
comment on column switchboard.chat_race.winner_id is 'The chat that was started; kept after it ends.';
comment on column switchboard.chat_race.failures is 'Contracts that could not be offered the chat: [{contractId, code, message}].';
comment on column switchboard.chat_race.expires_at is 'When unanswered offers are withdrawn.';
comment on column switchboard.chat_race.version is 'Raised at each change.';
comment on column switchboard.chat_race.inserted_at is 'When the customer asked.';
comment on column switchboard.chat_race.updated_at is 'When it last changed.';

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
    foreign key (company_id, key) references switchboard.chat_race (company_id, key),
    foreign key (company_id, contract_id) references switchboard.contract (company_id, id),
    constraint finished_has_reason check ((status = 'FINISHED') = (close_reason is not null)),
    constraint finished_has_time check ((status = 'FINISHED') = (finished_at is not null))
);
comment on table  switchboard.chat is 'One offer of a race to one contract, and the conversation if its agent won.';
comment on column switchboard.chat.company_id is 'The tenant.';
comment on column switchboard.chat.id is 'The chat. Random enough that knowing it proves something.';
comment on column switchboard.chat.key is 'Its race.';
comment on column switchboard.chat.website_id is 'The race''s.';
comment on column switchboard.chat.contract_id is 'Whom it is offered to; one chat for each contract in a race.';
comment on column switchboard.chat.agent_id is 'The contract''s agent; follows the contract until the chat is finished. Here, so that an event alone tells who may see it.';
comment on column switchboard.chat.visitor is 'The race''s owner; only this consumer sees it.';
comment on column switchboard.chat.status is 'ACTIVE: offered. STARTED: being held; at most one of a race. FINISHED: over.';
comment on column switchboard.chat.missed is 'A flag, never an end: a missed chat can still be started.';
comment on column switchboard.chat.close_reason is 'RESCINDED: another agent won. CANCELED: the customer left. EXPIRED: nobody answered in time. COMPLETED: all else.';
comment on column switchboard.chat.headline is 'What the customer asked; becomes the first message when the chat starts.';
comment on column switchboard.chat.customer_name is 'As the customer gave it.';
comment on column switchboard.chat.ip_address is 'The customer''s.';
comment on column switchboard.chat.rating is 'By the customer, 1 to 5.';
comment on column switchboard.chat.miss_at is 'When it is flagged missed, unless it is started or finished before.';
comment on column switchboard.chat.message_count is 'Messages so far; the version of the subject messages in the event log.';
comment on column switchboard.chat.version is 'Raised at each change of this row but message_count.';
comment on column switchboard.chat.inserted_at is 'When it was offered.';
comment on column switchboard.chat.updated_at is 'When it last changed.';
comment on column switchboard.chat.started_at is 'When its agent answered.';
comment on column switchboard.chat.finished_at is 'When it ended or was withdrawn.';

-- The last line of defence behind the race's lock: never two winners.
create unique index chat_one_started on switchboard.chat (company_id, key) where status = 'STARTED';
-- Who sees what, newest first: the company, a website's or contract's chats, an agent's inbox, a visitor's own.
create index chat_newest on switchboard.chat (company_id, inserted_at);
create index chat_contract on switchboard.chat (company_id, contract_id, inserted_at);
create index chat_agent on switchboard.chat (company_id, agent_id, inserted_at);
create index chat_visitor on switchboard.chat (company_id, visitor, inserted_at);
-- What a stream shows at first: the few that are not over, however many are.
create index chat_unfinished on switchboard.chat (company_id, agent_id) where status <> 'FINISHED';

create table switchboard.chat_message (
    company_id  uuid        not null,
    chat_id     uuid        not null,
    id          uuid        not null,
    text        text        not null,
    author      text        not null,
    is_agent    boolean     not null,
    opening     boolean     not null default false,
    inserted_at timestamptz not null default switchboard.now(),
    updated_at  timestamptz not null default switchboard.now(),
    primary key (company_id, chat_id, id),
    foreign key (company_id, chat_id) references switchboard.chat (company_id, id)
);
comment on table  switchboard.chat_message is 'What was said in a chat.';
comment on column switchboard.chat_message.company_id is 'The tenant.';
comment on column switchboard.chat_message.chat_id is 'Where.';
comment on column switchboard.chat_message.id is 'The message; may be made by the client.';
comment on column switchboard.chat_message.text is 'What.';
comment on column switchboard.chat_message.author is 'Who, as shown.';
comment on column switchboard.chat_message.is_agent is 'Whether the agent''s side wrote it.';
comment on column switchboard.chat_message.opening is 'The headline, written by the transaction that starts the chat.';
comment on column switchboard.chat_message.inserted_at is 'When.';
comment on column switchboard.chat_message.updated_at is 'When it was last changed.';

-- The headline is written once, whatever is repeated.
create unique index chat_message_one_opening on switchboard.chat_message (company_id, chat_id) where opening;
