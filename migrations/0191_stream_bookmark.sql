-- How far streams of deployed widgets have got, so that one that comes back after a cut is sent what it missed.

create unlogged table switchboard.stream_bookmark (
    company_id uuid        not null,
    id         bytea       not null check (length(id) = 32),
    server_id  uuid,
    pin        uuid,
    cursor     text        not null,
    seen_at    timestamptz not null default switchboard.now(),
    primary key (company_id, id)
) with (fillfactor = 70);
comment on table  switchboard.stream_bookmark is 'One row for each stream of changes that its client may open again with the same operation id. Unlogged: after a crash of Postgres such streams begin anew.';
comment on column switchboard.stream_bookmark.company_id is 'The company whose records the stream sends; all zeros for a stream that names no company.';
comment on column switchboard.stream_bookmark.id is 'SHA-256 of the operation id and of the stream with its arguments. Operation ids are random, so that whoever knows one had opened the stream before.';
comment on column switchboard.stream_bookmark.server_id is 'The server that sends the stream now, as in service_alive; null once the stream was cut.';
comment on column switchboard.stream_bookmark.pin is 'Key of the one race that the stream of a caller without a token may show, decided when the stream began. No other stream is pinned to that race.';
comment on column switchboard.stream_bookmark.cursor is 'What the client has received. Written in batches, so it may be a moment old.';
comment on column switchboard.stream_bookmark.seen_at is 'Once the stream was cut: when. Two minutes later the row means nothing any more.';

create unique index stream_bookmark_pin on switchboard.stream_bookmark (company_id, pin) where pin is not null;
comment on index switchboard.stream_bookmark_pin is 'At most one stream is pinned to a race, whatever servers decide at once.';
create index stream_bookmark_cut on switchboard.stream_bookmark (seen_at) where server_id is null;
comment on index switchboard.stream_bookmark_cut is 'The rows to remove.';
