create function switchboard.call_queue_step(p_weight integer) returns bigint
    language sql immutable parallel safe
    return 4294967296 / p_weight;
comment on function switchboard.call_queue_step(integer) is
    'Between the tags of two neighbours in a campaign''s line. Integers, so that the order is the same wherever it is computed.';
revoke execute on function switchboard.call_queue_step(integer) from public;
