-- What is said in a chat.

create table switchboard.chat_message (
    company_id  uuid        not null,
    chat_id     uuid        not null,
    id          uuid        not null,
    number      integer     not null check (number > 0),
    text        text        not null,
    author      text        not null,
    is_agent    boolean     not null,
    opening     boolean     not null default false,
    echo_id     uuid,
    inserted_at timestamptz not null default switchboard.now(),
    updated_at  timestamptz not null default switchboard.now(),
    primary key (company_id, chat_id, id),
    constraint chat_message_number unique (company_id, chat_id, number),
    foreign key (company_id, chat_id) references switchboard.chat (company_id, id)
);
comment on table  switchboard.chat_message is 'What was said in a chat.';
comment on column switchboard.chat_message.company_id is 'The tenant.';
comment on column switchboard.chat_message.chat_id is 'Where.';
comment on column switchboard.chat_message.id is 'The message; may be made by the client.';
comment on column switchboard.chat_message.number is 'Its place in the chat, from 1 without holes: given under the lock of the chat''s row, so that the order does not depend on any clock. The version of its event.';
comment on column switchboard.chat_message.text is 'What.';
comment on column switchboard.chat_message.author is 'Who, as shown.';
comment on column switchboard.chat_message.is_agent is 'Whether the agent''s side wrote it.';
comment on column switchboard.chat_message.opening is 'The headline, written by the transaction that starts the chat.';
comment on column switchboard.chat_message.echo_id is 'Of an opening message: the id under which the customer''s client wrote the same text, so that a late repeat of it is recognised.';
comment on column switchboard.chat_message.inserted_at is 'When.';
comment on column switchboard.chat_message.updated_at is 'When it was last changed.';
comment on index switchboard.chat_message_number is
    'A chat''s messages in their order: pages, the newest, what a stream begins with. No number is given twice.';

create unique index chat_message_one_opening on switchboard.chat_message (company_id, chat_id) where opening;
comment on index switchboard.chat_message_one_opening is 'The headline is written once, whatever is repeated.';

insert into switchboard.event_subject (subject_type, relation, id_column, id_type, version_column, names, scope_fields)
values
    ('messages', 'chat', 'id', 'uuid', 'message_count',
        '{companyId,chatId,id,number,websiteId,agentId,visitor,text,author,isAgent,opening,insertedAt,updatedAt}',
        '{}');
