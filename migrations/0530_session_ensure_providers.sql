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
