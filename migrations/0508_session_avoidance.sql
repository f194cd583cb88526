create function switchboard.session_avoidance(p_last interval) returns interval
    language sql immutable parallel safe
    return least(greatest(2 * p_last, interval '60 seconds'), interval '15 minutes');
comment on function switchboard.session_avoidance(interval) is
    'How long a provider is avoided after it was avoided for so long the last time: 60 s, doubled up to 15 min.';
