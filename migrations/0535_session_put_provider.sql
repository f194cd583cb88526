create function switchboard.session_put_provider(
    p_after switchboard.session_provider, p_before switchboard.session_provider, p_now timestamptz, p_actor text
) returns void
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_is_news  boolean;
    v_provider session_provider;
begin
    if p_after is not distinct from p_before then
        return;
    end if;
    v_is_news := p_before.company_id is null or p_after.state <> p_before.state or p_after.rank <> p_before.rank
        or abs(p_after.score - p_after.published_score) >= 10;
    update session_provider
    set rank = p_after.rank, state = p_after.state, score = p_after.score, is_default = p_after.is_default,
        published_score = case when v_is_news then p_after.score else published_score end,
        avoid_until = p_after.avoid_until, avoid_for = p_after.avoid_for,
        probe_session = p_after.probe_session, probe_until = p_after.probe_until,
        version = version + case when v_is_news and p_before.company_id is not null then 1 else 0 end,
        updated_at = p_now
    where company_id = p_after.company_id and name = p_after.name
    returning * into strict v_provider;
    if v_is_news then
        perform append_event(p_after.company_id, 'session_provider', p_after.name, v_provider.version,
            case when p_actor is null then 'SessionProviderScored' else 'SessionProviderSet' end,
            session_provider_record(v_provider),
            case when p_before.company_id is not null then session_provider_record(p_before) end, p_actor);
    end if;
end
$$;
comment on function switchboard.session_put_provider(
    switchboard.session_provider, switchboard.session_provider, timestamptz, text) is
    'Writes a provider that is locked; an event if its state or rank changed, or its score by 10 points since the last one.';
revoke execute on function switchboard.session_put_provider(
    switchboard.session_provider, switchboard.session_provider, timestamptz, text) from public;
