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
