-- The one clock that all servers share.

create function switchboard.now() returns timestamptz
    language sql volatile parallel safe
    return clock_timestamp();
comment on function switchboard.now() is
    'The time by which timers, leases and deadlines are judged, on every server. clock_timestamp(), because now() is the transaction''s start: a lease granted after waiting for a lock would be born too old. Tests replace this function to move time.';
