-- Phone calls: their life, their names at the provider, the operations that run on them, their transcripts.

create table switchboard.call (
    company_id       uuid        not null references switchboard.company (id),
    id               uuid        not null,
    call_control_id  text        check (length(call_control_id) between 1 and 200),
    user_id          text        not null check (length(user_id) between 1 and 200),
    agent_id         text        not null check (length(agent_id) between 1 and 200),
    call_type        text        not null check (call_type in ('DIRECT', 'CAMPAIGN')),
    campaign_id      uuid,
    phone_number     text,
    contact_id       text,
    contact_name     text,
    user_data        jsonb,
    attempt          integer     not null default 1 check (attempt > 0),
    inbound          boolean     not null default false,
    status           text        not null check (status in ('QUEUED', 'RESERVED', 'RINGING', 'IN_PROGRESS', 'ENDING', 'ENDED')),
    end_reason       text        check (end_reason in ('COMPLETED', 'BUSY', 'NO_ANSWER', 'NO_RESPONSE', 'FAILED', 'REJECTED',
                                     'VOICEMAIL', 'TRANSFERRED', 'CANCELED', 'LEASE_EXPIRED')),
    told_reason      text,
    told_at          timestamptz,
    untold_at        timestamptz,
    pending_hang_up  boolean     not null default false,
    dialing          boolean     not null default false,
    dialed           boolean     not null default false,
    hanging_up       boolean     not null default false,
    hung_up_until    timestamptz,
    generation       integer     not null default 1,
    version          integer     not null default 1,
    operations       integer     not null default 0,
    messages         integer     not null default 0,
    queued_at        timestamptz,
    started_at       timestamptz,
    answered_at      timestamptz,
    ended_at         timestamptz,
    hang_up_at       timestamptz,
    finalize_at      timestamptz,
    finalized_at     timestamptz,
    abandoned        integer     not null default 0,
    lease_expires_at timestamptz,
    inserted_at      timestamptz not null default switchboard.now(),
    updated_at       timestamptz not null default switchboard.now(),
    primary key (company_id, id),
    constraint campaign_call_has_campaign check ((call_type = 'CAMPAIGN') = (campaign_id is not null)),
    constraint ended_has_reason check ((status = 'ENDED') = (end_reason is not null)),
    constraint ended_has_time check ((status = 'ENDED') = (ended_at is not null)),
    constraint end_is_told_or_untold check ((status = 'ENDED') = (told_at is not null or untold_at is not null)),
    constraint told_end_has_reason check ((told_at is null) = (told_reason is null)),
    constraint generation_follows_status check ((generation = 1) = (status not in ('ENDING', 'ENDED'))),
    constraint hang_up_is_of_a_call_that_was_live check (not pending_hang_up or status in ('ENDING', 'ENDED')),
    constraint timer_is_of_a_live_call check (hang_up_at is null or status in ('RINGING', 'IN_PROGRESS', 'RESERVED'))
) with (fillfactor = 70);
comment on table  switchboard.call is 'One phone call. Its row lock decides everything about it: whoever reports, begins, completes, hangs up, appends or finalizes locks this row first, in a statement of its own; before it the row of its name, if the caller gave the name.';
comment on column switchboard.call.company_id is 'The tenant.';
comment on column switchboard.call.id is 'The call.';
comment on column switchboard.call.call_control_id is 'The provider''s name for it; its first one for ever.';
comment on column switchboard.call.user_id is 'Whose call it is: limits and lines are counted by user.';
comment on column switchboard.call.agent_id is 'Who speaks.';
comment on column switchboard.call.call_type is 'DIRECT or CAMPAIGN.';
comment on column switchboard.call.campaign_id is 'Set if and only if it is a campaign''s.';
comment on column switchboard.call.phone_number is 'The other side.';
comment on column switchboard.call.contact_id is 'The company''s own name for the other side.';
comment on column switchboard.call.contact_name is 'The name of the other side.';
comment on column switchboard.call.user_data is 'Carried, not interpreted.';
comment on column switchboard.call.attempt is 'Which try this is.';
comment on column switchboard.call.inbound is 'The other side called.';
comment on column switchboard.call.status is 'Moves only forward. News may skip states.';
comment on column switchboard.call.end_reason is 'Why it ended: of all news of its end the one with the smallest (time, place in this list). May change until it is finalized.';
comment on column switchboard.call.told_reason is 'The smallest reason that was told.';
comment on column switchboard.call.told_at is 'Its time.';
comment on column switchboard.call.untold_at is 'The earliest news of the end without a reason. It counts as COMPLETED if the call was ever answered, else as FAILED.';
comment on column switchboard.call.pending_hang_up is 'Somebody must hang it up at the provider.';
comment on column switchboard.call.dialing is 'A dialer holds the operation DIAL, or has completed it.';
comment on column switchboard.call.dialed is 'DIAL was completed.';
comment on column switchboard.call.hanging_up is 'A dialer holds the operation HANG_UP.';
comment on column switchboard.call.hung_up_until is 'HANG_UP was completed. If the end is not reported until then, somebody must hang up again.';
comment on column switchboard.call.generation is 'Raised once, when the call begins to end. Work that carries the older one is stale.';
comment on column switchboard.call.version is 'Raised at each event of the subject call.';
comment on column switchboard.call.operations is 'Version of the subject call_operations.';
comment on column switchboard.call.messages is 'Number of messages; version of the subject call_messages.';
comment on column switchboard.call.queued_at is 'When it was queued.';
comment on column switchboard.call.started_at is 'Earliest time at which it is known to have rung.';
comment on column switchboard.call.answered_at is 'Earliest time at which it is known to have been in progress.';
comment on column switchboard.call.ended_at is 'The time of end_reason.';
comment on column switchboard.call.hang_up_at is 'When it will be hung up.';
comment on column switchboard.call.finalize_at is 'When finalizing waits no longer for running operations.';
comment on column switchboard.call.finalized_at is 'After that nothing is written into it.';
comment on column switchboard.call.abandoned is 'Operations that had not completed when it was finalized.';
comment on column switchboard.call.lease_expires_at is 'End of the lease of its slot; null while slots are not counted for it.';
comment on column switchboard.call.inserted_at is 'When it became known.';
comment on column switchboard.call.updated_at is 'When it last changed.';

create unique index call_control on switchboard.call (company_id, call_control_id) where call_control_id is not null;
comment on index switchboard.call_control is 'The call of a provider''s name; no two calls have one.';

create index call_user on switchboard.call (company_id, user_id, id);
comment on index switchboard.call_user is 'The calls of a user, newest last.';

create index call_campaign on switchboard.call (company_id, campaign_id, id) where campaign_id is not null;
comment on index switchboard.call_campaign is 'The calls of a campaign, newest last.';

create index call_open on switchboard.call (company_id, id) where status <> 'ENDED';
comment on index switchboard.call_open is 'The calls that have not ended: what a stream of the company begins with. Few rows, however many calls there were.';

create table switchboard.call_name (
    company_id      uuid        not null references switchboard.company (id),
    call_control_id text        not null check (length(call_control_id) between 1 and 200),
    call_id         uuid,
    used_at         timestamptz not null default switchboard.now(),
    primary key (company_id, call_control_id)
);
comment on table  switchboard.call_name is 'A provider''s name for a call, known or not yet. Whoever names a call by it, or gives it to a call, inserts this row on conflict do nothing and then locks it: so news and assignment cannot miss each other.';
comment on column switchboard.call_name.company_id is 'The tenant.';
comment on column switchboard.call_name.call_control_id is 'The name.';
comment on column switchboard.call_name.call_id is 'The call of this name; null: none yet, its news is parked.';
comment on column switchboard.call_name.used_at is 'The last news of a name without a call. It is forgotten later.';

create index call_name_parked on switchboard.call_name (company_id, used_at) where call_id is null;
comment on index switchboard.call_name_parked is 'The names without a call, by their last news.';

create table switchboard.call_news (
    company_id      uuid        not null,
    call_control_id text        not null,
    id              uuid        not null,
    status          text        check (status in ('RINGING', 'IN_PROGRESS', 'ENDING', 'ENDED')),
    end_reason      text,
    occurred_at     timestamptz not null,
    received_at     timestamptz not null,
    primary key (company_id, call_control_id, id),
    foreign key (company_id, call_control_id) references switchboard.call_name (company_id, call_control_id) on delete cascade
);
comment on table  switchboard.call_news is 'News about a name that no call has yet, in the order of receipt. Applied when a call takes the name.';
comment on column switchboard.call_news.company_id is 'The tenant.';
comment on column switchboard.call_news.call_control_id is 'The name.';
comment on column switchboard.call_news.id is 'Ordered by time.';
comment on column switchboard.call_news.status is 'What was reported; null: somebody asked to hang it up.';
comment on column switchboard.call_news.end_reason is 'The reason that was told.';
comment on column switchboard.call_news.occurred_at is 'When it happened.';
comment on column switchboard.call_news.received_at is 'When it was reported.';

create index call_news_received on switchboard.call_news (received_at);
comment on index switchboard.call_news_received is 'The oldest parked news, which is forgotten first.';

create table switchboard.call_operation (
    company_id uuid        not null,
    call_id    uuid        not null,
    id         uuid        not null,
    kind       text        not null check (kind in ('DIAL', 'HANG_UP', 'SPEECH', 'STREAM', 'TRANSFER')),
    principal  text        not null,
    request_id text        not null check (length(request_id) between 1 and 200),
    token      bigint      not null,
    generation integer     not null,
    state      text        not null check (state in ('RUNNING', 'COMPLETED', 'EXPIRED', 'ABANDONED')),
    expires_at timestamptz not null,
    began_at   timestamptz not null,
    primary key (company_id, call_id, id),
    unique (company_id, call_id, principal, request_id),
    unique (company_id, id),
    foreign key (company_id, call_id) references switchboard.call (company_id, id)
);
comment on table  switchboard.call_operation is 'Work on a call: at most one of a kind runs. Written under the call''s lock.';
comment on column switchboard.call_operation.company_id is 'The tenant.';
comment on column switchboard.call_operation.call_id is 'The call.';
comment on column switchboard.call_operation.id is 'The operation.';
comment on column switchboard.call_operation.kind is 'What is done.';
comment on column switchboard.call_operation.principal is 'Role and sub of who began it.';
comment on column switchboard.call_operation.request_id is 'Chosen by who began it: a repeat finds its own operation.';
comment on column switchboard.call_operation.token is 'Fencing token: grows with each operation of the call.';
comment on column switchboard.call_operation.generation is 'The call''s, when it began.';
comment on column switchboard.call_operation.state is 'RUNNING until completed, expired, or given up by finalizing.';
comment on column switchboard.call_operation.expires_at is 'End of its lease.';
comment on column switchboard.call_operation.began_at is 'When it began.';

create unique index call_operation_running on switchboard.call_operation (company_id, call_id, kind) where state = 'RUNNING';
comment on index switchboard.call_operation_running is 'At most one operation of a kind runs on a call.';

create table switchboard.call_message (
    company_id  uuid        not null,
    call_id     uuid        not null,
    number      integer     not null check (number > 0),
    id          uuid        not null,
    role        text        not null check (length(role) between 1 and 200),
    text        text        not null,
    inserted_at timestamptz not null,
    primary key (company_id, call_id, number),
    unique (company_id, call_id, id),
    foreign key (company_id, call_id) references switchboard.call (company_id, id)
);
comment on table  switchboard.call_message is 'The transcript of a call.';
comment on column switchboard.call_message.company_id is 'The tenant.';
comment on column switchboard.call_message.call_id is 'The call.';
comment on column switchboard.call_message.number is 'Its place, from 1 without holes; given under the call''s lock. The version of its event.';
comment on column switchboard.call_message.id is 'The message.';
comment on column switchboard.call_message.role is 'Who spoke, in the company''s words.';
comment on column switchboard.call_message.text is 'What was said.';
comment on column switchboard.call_message.inserted_at is 'When it was written.';

insert into switchboard.event_subject (subject_type, relation, id_column, id_type, version_column, names, scope_fields)
values
    ('call', 'call', 'id', 'uuid', 'version',
        '{companyId,id,callControlId,userId,agentId,callType,campaignId,phoneNumber,contactId,contactName,userData,attempt,inbound,status,endReason,toldReason,toldAt,untoldAt,pendingHangUp,dialing,dialed,hangingUp,hungUpUntil,generation,version,queuedAt,startedAt,answeredAt,endedAt,hangUpAt,finalizeAt,finalizedAt,abandoned,leaseExpiresAt,insertedAt,updatedAt}',
        '{callControlId,userId,campaignId}'),
    ('call_operations', 'call', 'id', 'uuid', 'operations',
        '{companyId,callId,version,operationId,kind,requestId,state}',
        '{}'),
    ('call_messages', 'call', 'id', 'uuid', 'messages',
        '{companyId,callId,number,id,role,text,insertedAt}',
        '{}');
