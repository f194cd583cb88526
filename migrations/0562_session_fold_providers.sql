create function switchboard.session_fold_providers() returns integer
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_now      timestamptz;
    v_before   session_provider;
    v_provider session_provider;
    v_outcome  record;
    v_key      record;
    v_folded   integer := 0;
begin
    if session_take_turn('providers', '950 milliseconds') is null then
        return 0;
    end if;
    v_now := switchboard.now();
    for v_key in
        select company_id, provider as name from session_provider_outcome where not folded
        union
        select company_id, name from session_provider where avoid_until <= v_now
        order by company_id, name
    loop
        select * into strict v_before from session_provider
        where company_id = v_key.company_id and name = v_key.name
        for no key update;
        v_provider := v_before;
        if v_provider.state = 'AVOIDED' and v_provider.avoid_until <= v_now then
            v_provider.state := 'PROBING';
            v_provider.avoid_until := null;
        end if;
        for v_outcome in
            with outcome as (
                update session_provider_outcome
                set folded = true
                where company_id = v_key.company_id and provider = v_key.name and not folded
                returning at, session_id, succeeded
            )
            select succeeded from outcome order by at, session_id
        loop
            v_folded := v_folded + 1;
            v_provider.score := session_provider_score(v_provider.score, v_outcome.succeeded);
            if v_provider.state = 'PROBING' and v_outcome.succeeded then
                v_provider.state := 'USABLE';
                v_provider.score := 60;
                v_provider.probe_session := null;
                v_provider.probe_until := null;
            elsif (v_provider.state = 'PROBING' or v_provider.state = 'USABLE' and v_provider.score < 30)
                and not v_outcome.succeeded then
                v_provider.state := 'AVOIDED';
                v_provider.avoid_for := session_avoidance(v_provider.avoid_for);
                v_provider.avoid_until := v_now + v_provider.avoid_for;
                v_provider.probe_session := null;
                v_provider.probe_until := null;
            end if;
            if v_provider.state = 'USABLE' and v_provider.score >= 80 then
                v_provider.avoid_for := '0';
            end if;
        end loop;
        perform session_put_provider(v_provider, v_before, v_now, null);
    end loop;
    return v_folded;
end
$$;
comment on function switchboard.session_fold_providers() is
    'Folds what sessions reported of providers into scores and states. A duty once a second, and not a timer: the outcomes themselves say that there is work, so reporting one sets nothing. Returns how many outcomes. Locks: the duty; providers in the order of their keys.';
revoke execute on function switchboard.session_fold_providers() from public;
