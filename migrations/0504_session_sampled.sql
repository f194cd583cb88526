create function switchboard.session_sampled(p_samples smallint, p_is_bad boolean) returns smallint
    language sql immutable parallel safe
    return ((p_samples::integer << 1 | p_is_bad::integer) & 31)::smallint;
comment on function switchboard.session_sampled(smallint, boolean) is
    'The last five judgements after one more.';
