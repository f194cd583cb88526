-- Which provider is next, and what a session has learned about one.

create function switchboard.session_ensure_providers(p_company_id uuid) returns void
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
begin
    perform 1 from session_provider where company_id = p_company_id limit 1;
    if found then
        return;
    end if;
    insert into session_provider (company_id, name, rank, is_default)
    select p_company_id, listed.name, listed.rank, true
    from session_settings, unnest(default_providers) with ordinality as listed (name, rank)
    order by listed.name
    on conflict (company_id, name) do nothing;
end
$$;
comment on function switchboard.session_ensure_providers(uuid) is
    'Gives a company the default providers if it has none. Safe with any number of callers at once.';
revoke execute on function switchboard.session_ensure_providers(uuid) from public;

create function switchboard.session_next_provider(
    p_company_id uuid, p_session_id text, p_except text, p_only_good boolean
) returns text
    language plpgsql volatile
    set search_path = switchboard, pg_temp
as $$
begin
    return (
        with moment as materialized (
            select switchboard.now() as now, cooling from session_settings
        ),
        -- Every enabled provider with what this session knows of it.
        candidate as (
            select provider.name, provider.rank, provider.score, cooled.failed_at,
                case when provider.state = 'AVOIDED' and provider.avoid_until <= moment.now then 'PROBING'
                    else provider.state end as state,
                provider.probe_until is not null and provider.probe_until > moment.now
                    and provider.probe_session is distinct from p_session_id as is_probed_elsewhere,
                coalesce(cooled.failed_at + moment.cooling > moment.now, false) as is_cooling
            from moment
            cross join session_provider as provider
            left join session_cooling as cooled
                on cooled.company_id = p_company_id and cooled.session_id = p_session_id and cooled.provider = provider.name
            where provider.company_id = p_company_id and provider.state <> 'DISABLED'
                and provider.name is distinct from p_except
        ),
        classed as (
            select name, rank, score, failed_at,
                case
                    when state = 'USABLE' and not is_cooling then 1
                    when state = 'PROBING' and not is_probed_elsewhere and not is_cooling then 2
                    when state = 'AVOIDED' or is_probed_elsewhere then 4
                    else 3
                end as class
            from candidate
        )
        select name
        from classed
        where class = 1 or not p_only_good
        order by class, case when class = 3 then failed_at end, score desc, rank
        limit 1
    );
end
$$;
comment on function switchboard.session_next_provider(uuid, text, text, boolean) is
    'The provider that this session should use instead of p_except: usable ones by score, then one to probe, then those that failed here (the oldest failure first), then avoided ones; null if there is none. p_only_good: usable ones that did not fail here lately, or none.';
revoke execute on function switchboard.session_next_provider(uuid, text, text, boolean) from public;

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

create function switchboard.session_provider_did(
    p_company_id uuid, p_provider text, p_session_id text, p_epoch integer, p_succeeded boolean, p_at timestamptz
) returns void
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
begin
    insert into session_provider_outcome (company_id, provider, at, session_id, epoch, succeeded)
    select company_id, name, p_at, p_session_id, p_epoch, p_succeeded
    from session_provider
    where company_id = p_company_id and name = p_provider
    on conflict do nothing;
end
$$;
comment on function switchboard.session_provider_did(uuid, text, text, integer, boolean, timestamptz) is
    'Notes a success or a failure of a provider, to be folded into its score.';
revoke execute on function switchboard.session_provider_did(uuid, text, text, integer, boolean, timestamptz) from public;
