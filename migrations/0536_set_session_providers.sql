create function switchboard.set_session_providers(p_names text[], p_enabled boolean[], p_by text) returns jsonb
    language plpgsql
    set search_path = switchboard, pg_temp
    set lock_timeout = '2s'
as $$
declare
    v_company_id uuid := session_company();
    v_known      session_provider;
    v_after      session_provider;
    v_before     session_provider;
    v_place      integer;
    v_now        timestamptz;
    v_had        text[];
begin
    perform session_require_read_committed();
    if v_company_id is null then
        return session_refused('FORBIDDEN', 'set switchboard.company_id to a company that you are granted');
    end if;
    if p_names is null or cardinality(p_names) not between 1 and 100 or cardinality(p_names) <> cardinality(p_enabled) then
        return session_refused('BAD_USER_INPUT', 'providers: must be 1 to 100');
    end if;
    if exists (select 1 from unnest(p_names) as name where name is null or name !~ '^[a-z0-9_-]{1,64}$' or name = 'none') then
        return session_refused('BAD_USER_INPUT', 'providers: names have 1 to 64 of a-z, 0-9, _ and -, and are not none');
    end if;
    if (select count(distinct name) from unnest(p_names) as name) <> cardinality(p_names) then
        return session_refused('BAD_USER_INPUT', 'providers: each name once');
    end if;
    perform session_ensure_providers(v_company_id);
    select array_agg(name) into v_had from session_provider where company_id = v_company_id;
    insert into session_provider (company_id, name, rank, is_default)
    select v_company_id, name, 0, false from unnest(p_names) as name
    order by name
    on conflict (company_id, name) do nothing;
    for v_known in
        select * from session_provider
        where company_id = v_company_id
        order by name
        for no key update
    loop
        v_now := switchboard.now();
        v_before := case when v_known.name = any (v_had) then v_known end;
        v_after := v_known;
        v_after.is_default := p_by is null;
        v_place := array_position(p_names, v_known.name);
        v_after.rank := coalesce(v_place, cardinality(p_names) + v_known.rank);
        if v_place is null or not p_enabled[v_place] then
            v_after.state := 'DISABLED';
            v_after.avoid_until := null;
        elsif v_known.state = 'DISABLED' then
            v_after.state := 'USABLE';
        end if;
        if v_place is null and v_known.state = 'DISABLED' then
            -- Unlisted before and now: nothing that anybody is told.
            v_after.rank := v_known.rank;
        end if;
        perform session_put_provider(v_after, v_before, v_now, p_by);
    end loop;
    return '{"success": true}';
end
$$;
comment on function switchboard.set_session_providers(text[], boolean[], text) is
    'Sets a company''s providers, in order of preference; unlisted ones become DISABLED, and sessions on them stay. p_by null: the server''s defaults. Locks: the company''s providers in the order of their names.';
revoke execute on function switchboard.set_session_providers(text[], boolean[], text) from public;
