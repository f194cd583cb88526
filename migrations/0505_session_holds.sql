create function switchboard.session_holds(p_samples smallint, p_held boolean) returns boolean
    language sql immutable parallel safe
    return case when p_held then p_samples <> 0 else bit_count(p_samples::integer::bit(5)) >= 3 end;
comment on function switchboard.session_holds(smallint, boolean) is
    'True if the last five judgements are a reason: from three bad ones on, until none is left.';
