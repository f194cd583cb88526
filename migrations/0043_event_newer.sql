-- What a company's log holds after a position. Both are read in the order of event_company_xid, and no further than their limit,
-- whatever the statistics and whenever the plan was made: without a sort only that index gives the order, and a bitmap of what
-- is newer would be as large as that is.

create function switchboard.event_newer(
    p_company_id uuid, p_since xid8, p_without xid8[], p_subject_types text[], p_most bigint
) returns setof switchboard.event
    language plpgsql stable
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
    set enable_sort = off
as $$
begin
    return query
    select *
    from event
    where company_id = p_company_id and xid > p_since and xid <> all(p_without)
        and subject_type = any(p_subject_types)
    order by xid
    limit p_most;
end
$$;
comment on function switchboard.event_newer(uuid, xid8, xid8[], text[], bigint) is
    'The first events of a company, in the order of transactions: of those after p_since without p_without, of some types of subjects, at most p_most. Takes no lock.';
revoke execute on function switchboard.event_newer(uuid, xid8, xid8[], text[], bigint) from public;

create function switchboard.event_is_near(p_company_id uuid, p_since xid8) returns boolean
    language plpgsql stable
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
    set enable_sort = off
as $$
begin
    return (
        select count(*) < 1000
        from (
            select 1
            from event
            where company_id = p_company_id and xid > p_since
            order by xid
            limit 1000
        ) as newer
    );
end
$$;
comment on function switchboard.event_is_near(uuid, xid8) is
    'True if a company has fewer than 1,000 events after a transaction: then they are read and narrowed, where a stream asks for a few of them. Takes no lock.';
revoke execute on function switchboard.event_is_near(uuid, xid8) from public;
