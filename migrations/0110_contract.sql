-- Agents, and the contracts by which they answer a website's chats.

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
comment on index switchboard.contract_website is 'Whom a website''s chats are offered to.';

create index contract_agent on switchboard.contract (company_id, agent_id);
comment on index switchboard.contract_agent is 'The contracts of an agent.';

-- Not unique: unique indexes begin with company_id. A caller without a token belongs to no company; what it proves is
-- that it knows the id.
create index contract_id on switchboard.contract (id);
comment on index switchboard.contract_id is 'A contract by its id alone, for a caller without a token.';

insert into switchboard.event_subject (subject_type, relation, id_column, id_type, version_column, names, scope_fields)
values
    ('contract', 'contract', 'id', 'uuid', 'version',
        '{companyId,id,websiteId,agentId,name,color,rate,status,session,chatMissTime,chatMissFee,jobId,proposalId,agentDeleted,version,insertedAt,updatedAt}',
        '{websiteId,agentId}');
