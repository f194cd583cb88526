-- Adds messages to chats, all of a chat or none: the messages, the chat's count, what was echoed, events.
--
-- A chat is written only if it is still as it was read (same version, same number of messages) and nobody else has it
-- locked (skip locked): so this waits for nobody. The chats are the only rows that are locked, ascending. Rows are changed
-- by the ctid under which they were locked, see `BATCH_SESSION`.
--
--  $1       company
--  $2..$5   chats: id, version read, number of messages read, number of messages added
--  $6..$12  messages: chat, id, number, text, author, written by the agent, time
-- $13, $14  opening messages that the customer's client wrote again: chat, id that it gave
-- $15..$22  events: chat, subject type, subject id, version, event type, actor, payload, previous
--
-- Returns the chats that were written.
with
held_chat as materialized (
    select chat.id, chat.tid, wanted.added
    from (
        select *
        from unnest($2::uuid[], $3::int[], $4::int[], $5::int[]) as wanted (id, version, messages_read, added)
        order by id
    ) as wanted
    cross join lateral (
        select chat.id, chat.ctid as tid
        from chat
        where chat.company_id = $1 and chat.id = wanted.id and chat.version = wanted.version
            and chat.message_count = wanted.messages_read
        for no key update skip locked
    ) as chat
),
counted as (
    update chat
    set message_count = chat.message_count + held_chat.added
    from held_chat
    where chat.ctid = held_chat.tid and held_chat.added > 0
),
inserted as (
    insert into chat_message (company_id, chat_id, id, number, text, author, is_agent, inserted_at, updated_at)
    select $1, new.chat_id, new.id, new.number, new.text, new.author, new.is_agent, new.at, new.at
    from unnest($6::uuid[], $7::uuid[], $8::int[], $9::text[], $10::text[], $11::boolean[], $12::timestamptz[])
        as new (chat_id, id, number, text, author, is_agent, at)
    join held_chat on held_chat.id = new.chat_id
),
found_opening as materialized (
    select message.tid, echo.id
    from unnest($13::uuid[], $14::uuid[]) as echo (chat_id, id)
    join held_chat on held_chat.id = echo.chat_id
    cross join lateral (
        select message.ctid as tid
        from chat_message as message
        where message.company_id = $1 and message.chat_id = echo.chat_id and message.opening
        offset 0
    ) as message
),
echoed as (
    update chat_message as message
    set echo_id = coalesce(message.echo_id, found_opening.id)
    from found_opening
    where message.ctid = found_opening.tid
),
appended as (
    insert into event (company_id, subject_type, subject_id, version, type, actor, payload, previous)
    select $1, new.subject_type, new.subject_id, new.version, new.type, new.actor, new.payload::json,
        new.previous::json
    from unnest($15::uuid[], $16::text[], $17::text[], $18::int[], $19::text[], $20::text[], $21::text[], $22::text[])
        as new (chat_id, subject_type, subject_id, version, type, actor, payload, previous)
    join held_chat on held_chat.id = new.chat_id
)
select id from held_chat
