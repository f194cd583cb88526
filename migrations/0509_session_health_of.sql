create function switchboard.session_health_of(p_connection_state text) returns text
    language sql immutable parallel safe
    return case p_connection_state
        when 'INITIALIZING' then 'CONNECTING'
        when 'ENDED' then 'DISCONNECTED'
        else p_connection_state
    end;
comment on function switchboard.session_health_of(text) is 'The health status that a connection state stands for.';
