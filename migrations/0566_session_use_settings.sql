create function switchboard.session_use_settings(
    p_providers text[], p_stale_after interval, p_check_every interval, p_cleanup_every interval, p_retention interval,
    p_automatic boolean
) returns void
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_before  session_settings;
    v_company uuid;
begin
    select * into strict v_before from session_settings for no key update;
    update session_settings
    set default_providers = p_providers, stale_after = p_stale_after, check_every = p_check_every,
        cleanup_every = p_cleanup_every, retention = p_retention, automatic_recovery = p_automatic
    where (default_providers, stale_after, check_every, cleanup_every, retention, automatic_recovery)
        is distinct from (p_providers, p_stale_after, p_check_every, p_cleanup_every, p_retention, p_automatic);
    if v_before.default_providers <> p_providers then
        for v_company in select distinct company_id from session_provider where is_default order by company_id loop
            perform set_config('switchboard.company_id', v_company::text, true);
            perform set_session_providers(p_providers, array_fill(true, array[cardinality(p_providers)]), null);
        end loop;
    end if;
end
$$;
comment on function switchboard.session_use_settings(text[], interval, interval, interval, interval, boolean) is
    'Writes a server''s settings, if they differ. Companies that have set no providers of their own get the new defaults. Locks: the settings, then providers.';
revoke execute on function switchboard.session_use_settings(text[], interval, interval, interval, interval, boolean) from public;
