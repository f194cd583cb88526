create function switchboard.session_take_probe(p_company_id uuid, p_session_id text, p_provider text) returns void
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_now timestamptz := switchboard.now();
begin
    update session_provider
    set probe_session = p_session_id, probe_until = v_now + interval '30 seconds'
    where company_id = p_company_id and name = p_provider
        and (state = 'PROBING' or state = 'AVOIDED' and avoid_until <= v_now);
end
$$;
comment on function switchboard.session_take_probe(uuid, text, text) is
    'Makes this session the one that tries a provider, if the provider is half-open. Locks: the provider, after the session.';
revoke execute on function switchboard.session_take_probe(uuid, text, text) from public;
