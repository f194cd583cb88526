create function switchboard.session_use_settings(p_settings jsonb) returns void
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_before  session_settings;
    v_after   session_settings;
    v_company uuid;
begin
    select * into strict v_before from session_settings for no key update;
    v_after := jsonb_populate_record(v_before, p_settings);
    if v_after is not distinct from v_before then
        return;
    end if;
    update session_settings
    set
        default_providers = v_after.default_providers,
        stale_after = v_after.stale_after,
        sweep_every = v_after.sweep_every,
        check_every = v_after.check_every,
        cleanup_every = v_after.cleanup_every,
        retention = v_after.retention,
        idle_end = v_after.idle_end,
        dwell = v_after.dwell,
        cooling = v_after.cooling,
        settle = v_after.settle,
        regroup = v_after.regroup,
        excellent_latency = v_after.excellent_latency,
        excellent_packet_loss = v_after.excellent_packet_loss,
        fair_latency = v_after.fair_latency,
        fair_packet_loss = v_after.fair_packet_loss,
        poor_latency = v_after.poor_latency,
        poor_packet_loss = v_after.poor_packet_loss,
        recover_latency = v_after.recover_latency,
        recover_packet_loss = v_after.recover_packet_loss,
        automatic_recovery = v_after.automatic_recovery;
    if v_before.default_providers <> v_after.default_providers then
        for v_company in select distinct company_id from session_provider where is_default order by company_id loop
            perform set_config('switchboard.company_id', v_company::text, true);
            perform set_session_providers(v_after.default_providers,
                array_fill(true, array[cardinality(v_after.default_providers)]), null);
        end loop;
    end if;
end
$$;
comment on function switchboard.session_use_settings(jsonb) is
    'Writes a server''s settings, if they differ: an object of columns of session_settings; those that it lacks stay. Companies that have set no providers of their own get the new defaults. Locks: the settings, then providers.';
revoke execute on function switchboard.session_use_settings(jsonb) from public;
