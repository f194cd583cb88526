create function switchboard.heartbeat_pings(p_session_ids text[], p_user_ids text[])
    returns table (is_heard boolean, ping_time timestamptz)
    language plpgsql security definer
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
as $$
declare
    v_company_id uuid := session_company();
    v_now        timestamptz := switchboard.now();
begin
    if v_company_id is null then
        raise exception 'set switchboard.company_id to a company that you are granted' using errcode = 'insufficient_privilege';
    end if;
    return query
    with asked as materialized (
        select session_id, user_id, number
        from unnest(p_session_ids, p_user_ids) with ordinality as asked (session_id, user_id, number)
    ),
    -- Locked in one order, each once; who is locked by another is left to the caller.
    present as materialized (
        select asked.session_id, asked.user_id, health.place
        from (select distinct session_id, user_id from asked order by session_id, user_id) as asked
        cross join lateral (
            select session_health.ctid as place
            from session_health
            where session_health.company_id = v_company_id and session_health.session_id = asked.session_id
                and session_health.user_id = asked.user_id and session_health.status <> 'DISCONNECTED'
            for no key update skip locked
        ) as health
    ),
    heard as (
        update session_health
        set last_ping = greatest(session_health.last_ping, v_now)
        from present
        where session_health.ctid = present.place
        returning session_health.session_id, session_health.user_id
    )
    select heard.user_id is not null, v_now
    from asked
    left join heard on heard.session_id = asked.session_id and heard.user_id = asked.user_id
    order by asked.number;
end
$$;
comment on function switchboard.heartbeat_pings(text[], text[]) is
    'Heartbeats of many participants by one statement, a row for each in their order. is_heard false: call heartbeat_ping for that one. Locks: participants'' rows in the order of their keys, none that is locked.';
revoke execute on function switchboard.heartbeat_pings(text[], text[]) from public;
