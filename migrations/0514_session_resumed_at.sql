create function switchboard.session_resumed_at() returns timestamptz
    language sql stable
    set search_path = switchboard, pg_temp
    return (select resumed_at from switchboard.session_duty where duty = 'presence');
comment on function switchboard.session_resumed_at() is
    'Since when presence has been watched without a break: silence counts from then at the earliest.';
revoke execute on function switchboard.session_resumed_at() from public;
