create function switchboard.session_choice_of(p_company_id uuid, p_session_id text, p_wanted text) returns text
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_now      timestamptz := switchboard.now();
    v_provider session_provider;
begin
    select * into v_provider from session_provider where company_id = p_company_id and name = p_wanted;
    if v_provider.state = 'USABLE' or (
        (v_provider.state = 'PROBING' or v_provider.state = 'AVOIDED' and v_provider.avoid_until <= v_now)
        and (v_provider.probe_until is null or v_provider.probe_until <= v_now
            or v_provider.probe_session = p_session_id)
    ) then
        return p_wanted;
    end if;
    return coalesce(
        session_next_provider(p_company_id, p_session_id, p_wanted, false),
        case when v_provider.state <> 'DISABLED' then p_wanted end);
end
$$;
comment on function switchboard.session_choice_of(uuid, text, text) is
    'The provider that a session gets that wants this one: the wanted one, if it is usable or may be probed; else the next. Null if none is enabled.';
revoke execute on function switchboard.session_choice_of(uuid, text, text) from public;
