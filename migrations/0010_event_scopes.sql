-- Events are found by the streams that they concern, not only by company and time: a visitor's stream that resumes reads
-- the visitor's events, not the company's day.

alter table switchboard.event add column scopes bigint[];
comment on column switchboard.event.scopes is
    'Keys (event_scope_key) of the fields that streams are narrowed by, as they are after the change and as they were before. Empty: streams find the event by its subject only. Null: not known, so every stream of the company considers the event.';

-- New entries wait in a list of at most 256 kB, which every search reads, until they are merged together. Measured, for
-- an event with four keys: 16 us to insert with and without this index, 27 us where each entry is merged at once, 36 us
-- with a table of keys beside the log; a search with a full list takes 0.5 ms.
create index event_scopes on switchboard.event using gin (scopes)
    with (fastupdate = on, gin_pending_list_limit = 256) where scopes <> '{}';
comment on index switchboard.event_scopes is 'What a stream of one visitor, agent or contract has missed, however busy its company is.';

create index event_unscoped on switchboard.event (company_id, xid) where scopes is null;
comment on index switchboard.event_unscoped is 'The events that were written without keys; normally none.';

create function switchboard.event_scope_key(p_company_id uuid, p_subject_type text, p_field text, p_value text)
    returns bigint
    language sql immutable strict parallel safe
    set search_path = switchboard, pg_temp
    return ('x' || encode(substr(sha256(convert_to(
        p_company_id::text || '/' || p_subject_type || '/' || p_field || '/' || p_value, 'UTF8'
    )), 1, 8), 'hex'))::bit(64)::bigint;
comment on function switchboard.event_scope_key(uuid, text, text, text) is
    'The key of all subjects of a type whose record has this text in this field, as the server computes it.';
