create function switchboard.session_provider_score(p_score double precision, p_succeeded boolean) returns double precision
    language sql immutable parallel safe
    return greatest(0, least(100, p_score + case when p_succeeded then 5 else -15 end));
comment on function switchboard.session_provider_score(double precision, boolean) is
    'A provider''s score after one more outcome.';
