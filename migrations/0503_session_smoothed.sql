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
