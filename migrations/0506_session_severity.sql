create function switchboard.session_severity(p_concerned bigint, p_present bigint) returns text
    language sql immutable parallel safe
    return case when 2 * p_concerned >= p_present then 'ERROR' else 'WARNING' end;
comment on function switchboard.session_severity(bigint, bigint) is
    'ERROR from half of those present on, else WARNING.';
