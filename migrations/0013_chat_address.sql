-- The open chats of an address, for widgets without a token.

create index chat_created_from on switchboard.chat (company_id, created_from) where status <> 'FINISHED';
comment on index switchboard.chat_created_from is
    'The chats that are not over of a remote address: the stream chatChanged of a widget without a token when it begins. Few rows, however many chats are finished.';
