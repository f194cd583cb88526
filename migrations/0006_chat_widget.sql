-- What deployed widgets need: chats found by their id alone, the address they were asked from, races that re-open.

alter table switchboard.chat_race add column reoffers boolean not null default false;
comment on column switchboard.chat_race.reoffers is 'Opened by createChatRace: when the winner vanishes before it said anything, the withdrawn offers go out again.';

alter table switchboard.chat add column created_from inet;
comment on column switchboard.chat.created_from is 'Remote address of the connection that asked, whatever the client says its address is. A widget without a token is shown chats of its own address only.';

alter table switchboard.chat_message add column echo_id uuid;
comment on column switchboard.chat_message.echo_id is 'Of an opening message: the id under which the customer''s client wrote the same text, so that a late repeat of it is recognised.';

-- Not unique: unique indexes begin with company_id. A caller without a token belongs to no company; what it proves is
-- that it knows the id.
create index chat_id on switchboard.chat (id);
create index contract_id on switchboard.contract (id);

-- Which web pages may call (CORS) is asked by origin alone.
create index website_origin on switchboard.website using gin (allowed_origins);
