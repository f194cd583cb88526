-- What widgets without a token look up.

create index chat_visitor_unfinished on switchboard.chat (company_id, visitor) where status <> 'FINISHED';
comment on index switchboard.chat_visitor_unfinished is
    'The chats that are not over of a visitor: the started one when its stream chatChanged begins, and the waiting races that its next question withdraws. Few rows, however many chats are finished.';

-- Of an address the chats of one contract are looked up, not all of them.
drop index switchboard.chat_created_from;
create index chat_asked_from on switchboard.chat (company_id, created_from, contract_id)
    where status in ('ACTIVE', 'STARTED');
comment on index switchboard.chat_asked_from is
    'The chats that are not over of a remote address and contract: which race the stream chatChanged of a widget without a token is pinned to. Few rows, however many chats are finished.';

-- Not unique: unique indexes begin with company_id. A caller without a token names a website by its id alone.
create index website_id on switchboard.website (id);
comment on index switchboard.website_id is 'A website by its id alone: website(id) of a caller without a token.';
