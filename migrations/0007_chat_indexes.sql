-- Fewer foreign keys to check for a createChat, and the query that needs each index.
--
-- Every check is a query of its own for each row, and also locks the row that the key refers to. A key is dropped if
-- another key implies it, or if every transaction that inserts the row already holds a lock on the row it refers to.
-- Figures: docs/performance.md.

-- Implied: a race refers to a website, and a website to its company.
alter table switchboard.chat_race drop constraint chat_race_company_id_fkey;
-- A chat is inserted under the lock of its race: the same transaction has inserted or locked that row.
alter table switchboard.chat drop constraint chat_company_id_key_fkey;
-- A chat is inserted under the lock (for key share) of its contract, as read by the same transaction.
alter table switchboard.chat drop constraint chat_company_id_contract_id_fkey;

comment on constraint chat_race_company_id_website_id_fkey on switchboard.chat_race is
    'The only check that a visitor''s website exists: its token names the website, and createChatRace does not read it.';
comment on column switchboard.chat_race.company_id is 'The company of the website.';
comment on column switchboard.chat.key is 'Its race. No foreign key: the row is inserted under the race''s lock.';
comment on column switchboard.chat.contract_id is 'The contract that the chat is offered to; one chat for each contract in a race. No foreign key: the row is inserted under the contract''s lock.';

comment on index switchboard.chat_race_pkey is
    'The race of a key: every lock of a race, and on conflict when a race is inserted.';
comment on index switchboard.chat_pkey is
    'A chat of a company by its id: chat(id), every update of one chat, the winner of a race, the key of messages.';
comment on index switchboard.chat_company_id_key_contract_id_key is
    'One chat for each contract in a race. The chats of a race: read under its lock, won, withdrawn, offered again.';
comment on index switchboard.chat_one_started is
    'At most one started chat in a race, whatever else fails. The customer''s started chat when a stream begins. Holds started chats only, so it costs createChat nothing.';
comment on index switchboard.chat_newest is
    'The company''s chats by page, newest first, also of one website; the finished chats of a company''s stream when it begins.';
comment on index switchboard.chat_contract is
    'A contract''s chats by page, newest first; the finished chats of a contract''s stream when it begins. Without it the search reads every chat of the company when the contract has few.';
comment on index switchboard.chat_agent is
    'An agent''s chats by page, newest first; the finished chats of an agent''s stream when it begins.';
comment on index switchboard.chat_visitor is
    'A visitor''s chats by page, newest first; a visitor''s stream when it begins.';
comment on index switchboard.chat_unfinished is
    'The chats that are not over, of an agent or of the company: an inbox when its stream begins, and a contract that changes its agent. Few rows, however many chats are finished.';
comment on index switchboard.chat_id is
    'A chat by its id alone: chat(id), messages and streams of a caller without a token, who belongs to no company.';
