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
