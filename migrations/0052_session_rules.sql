-- The rules of sessions' health as pure functions: nothing is decided in two places. docs/sessions.md gives formulas and
-- golden values.

create function switchboard.session_quality(
    p_latency integer, p_packet_loss real, p_settings switchboard.session_settings
) returns text
    language sql immutable parallel safe
    return case
        when p_latency is null and p_packet_loss is null then null
        when coalesce(p_latency > p_settings.poor_latency, false)
            or coalesce(p_packet_loss > p_settings.poor_packet_loss, false) then 'POOR'
        when coalesce(p_latency > p_settings.fair_latency, false)
            or coalesce(p_packet_loss > p_settings.fair_packet_loss, false) then 'FAIR'
        when coalesce(p_latency < p_settings.excellent_latency, true)
            and coalesce(p_packet_loss < p_settings.excellent_packet_loss, true) then 'EXCELLENT'
        else 'GOOD'
    end;
comment on function switchboard.session_quality(integer, real, switchboard.session_settings) is
    'The quality of one sample: latency in ms, packet loss in percent. What was not measured counts as good.';

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

create function switchboard.session_smoothed(p_before real, p_sample real) returns real
    language sql immutable parallel safe
    return case
        when p_before is null then p_sample
        when p_sample is null then p_before
        when p_sample < p_before then p_before + 0.5 * (p_sample - p_before)
        else p_before + 0.1 * (p_sample - p_before)
    end::real;
comment on function switchboard.session_smoothed(real, real) is
    'The shown score after a sample: half of the way down, a tenth of the way up.';

create function switchboard.session_sampled(p_samples smallint, p_is_bad boolean) returns smallint
    language sql immutable parallel safe
    return ((p_samples::integer << 1 | p_is_bad::integer) & 31)::smallint;
comment on function switchboard.session_sampled(smallint, boolean) is
    'The last five judgements after one more.';

create function switchboard.session_holds(p_samples smallint, p_held boolean) returns boolean
    language sql immutable parallel safe
    return case when p_held then p_samples <> 0 else bit_count(p_samples::integer::bit(5)) >= 3 end;
comment on function switchboard.session_holds(smallint, boolean) is
    'True if the last five judgements are a reason: from three bad ones on, until none is left.';

create function switchboard.session_severity(p_concerned bigint, p_present bigint) returns text
    language sql immutable parallel safe
    return case when 2 * p_concerned >= p_present then 'ERROR' else 'WARNING' end;
comment on function switchboard.session_severity(bigint, bigint) is
    'ERROR from half of those present on, else WARNING.';

create function switchboard.session_provider_score(p_score double precision, p_succeeded boolean) returns double precision
    language sql immutable parallel safe
    return greatest(0, least(100, p_score + case when p_succeeded then 5 else -15 end));
comment on function switchboard.session_provider_score(double precision, boolean) is
    'A provider''s score after one more outcome.';

create function switchboard.session_avoidance(p_last interval) returns interval
    language sql immutable parallel safe
    return least(greatest(2 * p_last, interval '60 seconds'), interval '15 minutes');
comment on function switchboard.session_avoidance(interval) is
    'How long a provider is avoided after it was avoided for so long the last time: 60 s, doubled up to 15 min.';

create function switchboard.session_health_of(p_connection_state text) returns text
    language sql immutable parallel safe
    return case p_connection_state
        when 'INITIALIZING' then 'CONNECTING'
        when 'ENDED' then 'DISCONNECTED'
        else p_connection_state
    end;
comment on function switchboard.session_health_of(text) is 'The health status that a connection state stands for.';
