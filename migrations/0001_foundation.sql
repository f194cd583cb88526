-- The schema that everything lives in, and the one clock that all servers share.

create schema if not exists switchboard;
comment on schema switchboard is 'Everything of Switchboard. company_id comes first in every key, so that the tables can be spread by it.';

-- SQL callers need not qualify names. (The server sets its own search path when it connects.)
do $$
begin
    execute format('alter database %I set search_path = "$user", public, switchboard', current_database());
end
$$;

create function switchboard.now() returns timestamptz
    language sql volatile parallel safe
    return clock_timestamp();
comment on function switchboard.now() is
    'The time by which timers, leases and deadlines are judged, on every server. clock_timestamp(), because now() is the transaction''s start: a lease granted after waiting for a lock would be born too old. Tests replace this function to move time.';
