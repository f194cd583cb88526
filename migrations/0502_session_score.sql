create function switchboard.session_score(p_latency integer, p_jitter integer, p_packet_loss real) returns real
    language sql immutable parallel safe
    return (
        select greatest(0, least(100, 93.2
            -- Delay impairment, Cole and Rosenbluth's fit of ITU-T G.107: steeper above 177.3 ms.
            - 0.024 * delay.ms - 0.11 * greatest(delay.ms - 177.3, 0)
            -- Loss impairment for a codec with concealment: Ie = 0, Bpl = 25.1 (ITU-T G.113).
            - 95.0 * coalesce(p_packet_loss, 0) / (coalesce(p_packet_loss, 0) + 25.1)))
        from (select coalesce(p_latency, 0) / 2.0 + 2.0 * coalesce(p_jitter, 0) + 10.0 as ms) as delay
    )::real;
comment on function switchboard.session_score(integer, integer, real) is
    'The E-model''s transmission rating R of one sample, 0 to 93.2: round trip and jitter in ms, packet loss in percent. The one-way delay is half the round trip, twice the jitter as the buffer, 10 ms for the codec.';
