-- Whether servers live, and since when.

create table switchboard.service_alive (
    server_id  uuid        primary key,
    started_at timestamptz not null default switchboard.now(),
    stamped_at timestamptz not null default switchboard.now()
) with (fillfactor = 50);
comment on table  switchboard.service_alive is 'One row for each server process, stamped by it every second. A server whose stamp is over 5 s old is gone.';
comment on column switchboard.service_alive.server_id is 'Made anew at each start.';
comment on column switchboard.service_alive.started_at is 'The first stamp.';
comment on column switchboard.service_alive.stamped_at is 'The newest stamp. Not indexed, so that stamping moves no index entry.';

create table switchboard.service (
    only_row    boolean     primary key default true check (only_row),
    resumed_at  timestamptz,
    grace_until timestamptz,
    constraint grace_follows_outage check ((resumed_at is null) = (grace_until is null))
);
comment on table  switchboard.service is 'All servers together, as one row.';
comment on column switchboard.service.only_row is 'Makes this a table of one row.';
comment on column switchboard.service.resumed_at is 'When a server found that none had lived for over 5 s. Silence before this moment proves nothing about those who were silent. Null: that never happened.';
comment on column switchboard.service.grace_until is 'Until then, what came due before resumed_at is not held against anybody.';
insert into switchboard.service default values;
