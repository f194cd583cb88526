create function switchboard.session_quality(p_latency integer, p_packet_loss real) returns text
    language sql immutable parallel safe
    return case
        when p_latency is null and p_packet_loss is null then null
        when coalesce(p_latency, 0) > 400 or coalesce(p_packet_loss, 0) > 8 then 'POOR'
        when coalesce(p_latency, 0) > 250 or coalesce(p_packet_loss, 0) > 4 then 'FAIR'
        when coalesce(p_latency, 0) < 100 and coalesce(p_packet_loss, 0) < 1 then 'EXCELLENT'
        else 'GOOD'
    end;
comment on function switchboard.session_quality(integer, real) is
    'The quality of one sample: latency in ms, packet loss in percent. For display; alerts judge by the knobs.';
