create or replace function switchboard.call_dispatch(p_company_id uuid, p_most integer) returns setof uuid
    language plpgsql
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
    set enable_hashjoin = off
    set enable_mergejoin = off
    set enable_memoize = off
as $$
declare
    v_slots     call_slots;
    v_settings  call_queue_settings;
    v_free      integer;
    v_room      integer;
    v_round     uuid[];
    v_campaigns uuid[];
    v_lines     uuid[];
    v_turn      bigint;
    v_next      bigint;
    v_now       timestamptz := switchboard.now();
    v_done      integer := 0;
    v_is_behind boolean := false;
begin
    select * into v_slots from call_slots where company_id = p_company_id;
    select * into v_settings from call_queue_settings where only_row;
    v_free := coalesce(v_slots.system_limit, v_settings.system_calls) - v_slots.active;
    v_turn := v_slots.turn;
    loop
        v_room := least(v_free, p_most) - v_done;
        -- The smallest turn among the users that wait and are below their limits.
        select turn into v_next
        from call_queue_user
        where company_id = p_company_id and may_dispatch and turn >= v_slots.min_turn
        order by turn
        limit 1;
        if not found then
            v_slots.min_turn := v_turn + 1;
            exit;
        end if;
        v_slots.min_turn := v_next;
        if v_room <= 0 then
            v_is_behind := v_done < v_free;
            exit;
        end if;
        -- A round: an item of each of them, in their order. Their next turns are behind all of these. Every row is read
        -- once, by its key, and written by where it was found.
        with
        ready as materialized (
            select owner.ctid as tid, owner.user_id, owner.direct_line, owner.call_limit, owner.queued_campaign, owner.turn
            from call_queue_user as owner
            where owner.company_id = p_company_id and owner.may_dispatch and owner.turn >= v_next
            order by owner.turn
            limit v_room
        ),
        dispatched as materialized (
            select row_number() over (order by ready.turn) as place,
                ready.tid as user_tid, ready.user_id, ready.call_limit, line.tid as line_tid, line.head as head_before,
                -- The head of its line leaves: the next one that is queued is the head then.
                coalesce(next.number, line.tail + 1) as head,
                case when item.campaign_id is not null then line.finish + call_queue_step(line.weight) end as tag,
                direct.n - (item.campaign_id is null)::integer + coalesce(campaigns.n, 0)
                    - (item.campaign_id is not null)::integer > 0 as is_waiting,
                coalesce(campaigns.n, 0) > (item.campaign_id is not null)::integer as is_campaign_waiting,
                item.campaign_id is not null as is_campaign, coalesce(campaign.agent_id, item.agent_id) as agent_id,
                item.tid as item_tid, item.line_id, item.id, item.call_type, item.campaign_id, item.call_id, item.attempt,
                item.phone_number, item.contact_id, item.contact_name, item.user_data, item.version + 1 as version,
                item.queued_at, item.requeued_at
            from ready
            cross join lateral call_queue_next_line(p_company_id, ready.user_id, v_now) as chosen
            cross join lateral (
                select line.ctid as tid, line.id, line.head, line.tail, line.finish, line.weight
                from call_queue_line as line
                where line.company_id = p_company_id and line.id = chosen.line_id
                offset 0
            ) as line
            cross join lateral (
                select item.ctid as tid, item.line_id, item.id, item.call_type, item.campaign_id, item.number, item.call_id,
                    item.attempt, item.agent_id, item.phone_number, item.contact_id, item.contact_name, item.user_data,
                    item.version, item.queued_at, item.requeued_at
                from call_queue as item
                where item.company_id = p_company_id and item.line_id = line.id and item.number = line.head
                    and item.status = 'QUEUED'
                offset 0
            ) as item
            left join lateral (
                select item.number
                from call_queue as item
                where item.company_id = p_company_id and item.line_id = line.id and item.number > line.head
                    and item.status = 'QUEUED'
                order by item.number
                limit 1
            ) as next on true
            cross join lateral (
                select line.n
                from call_queue_line as line
                where line.company_id = p_company_id and line.id = ready.direct_line
                offset 0
            ) as direct
            left join lateral (
                select sum(line.n) as n
                from call_queue_line as line
                where line.company_id = p_company_id and line.user_id = ready.user_id and line.campaign_id is not null
                    and line.is_open and ready.queued_campaign > 0
            ) as campaigns on true
            -- Whoever speaks for the campaign now, and not when the contact was added. Only the primary key gives this order.
            left join lateral (
                select campaign.agent_id
                from campaign
                where campaign.company_id = p_company_id and campaign.id between item.campaign_id and item.campaign_id
                order by campaign.id
                limit 1
            ) as campaign on true
        ),
        item_written as (
            update call_queue as item
            set status = 'PROCESSING', left_at = v_now, version = dispatched.version, revision = item.revision + 1,
                agent_id = dispatched.agent_id
            from dispatched
            where item.ctid = dispatched.item_tid
        ),
        call_born as (
            insert into call (company_id, id, user_id, agent_id, call_type, campaign_id, phone_number, contact_id,
                contact_name, user_data, attempt, status, version, queued_at, inserted_at, updated_at)
            select p_company_id, call_id, user_id, agent_id, call_type, campaign_id, phone_number, contact_id,
                contact_name, user_data, attempt, 'RESERVED', version, requeued_at, v_now, v_now
            from dispatched
        ),
        slot_taken as (
            insert into active_calls (company_id, call_id, user_id, call_type, queue_id, since, heard_at)
            select p_company_id, call_id, user_id, call_type, id, v_now, v_now
            from dispatched
        ),
        line_written as (
            update call_queue_line as line
            set head = dispatched.head, n = line.n - 1, finish = coalesce(dispatched.tag, line.finish)
            from dispatched
            where line.ctid = dispatched.line_tid
        ),
        user_written as (
            update call_queue_user as owner
            set active_direct = owner.active_direct + (not dispatched.is_campaign)::integer,
                active_campaign = owner.active_campaign + dispatched.is_campaign::integer,
                queued_direct = owner.queued_direct - (not dispatched.is_campaign)::integer,
                queued_campaign = owner.queued_campaign - dispatched.is_campaign::integer,
                turn = v_turn + dispatched.place,
                is_waiting = dispatched.is_waiting,
                may_dispatch = dispatched.is_waiting and owner.active_direct + owner.active_campaign + 1
                    < coalesce(dispatched.call_limit, v_settings.user_calls),
                campaign_since = case when not dispatched.is_campaign_waiting then null when dispatched.is_campaign then v_now
                    else coalesce(owner.campaign_since, v_now) end,
                virtual_time = coalesce(dispatched.tag, owner.virtual_time),
                waited_ms = owner.waited_ms[greatest(cardinality(owner.waited_ms) - 48, 1):]
                    || least(extract(epoch from v_now - dispatched.queued_at) * 1000, 2147483647)::integer
            from dispatched
            where owner.ctid = dispatched.user_tid
        )
        select
            array_agg(dispatched.call_id order by dispatched.place),
            array_agg(dispatched.campaign_id) filter (where dispatched.is_campaign),
            array_agg(dispatched.line_id) filter (where dispatched.head >> 8 > dispatched.head_before >> 8)
        into v_round, v_campaigns, v_lines
        from dispatched;
        if cardinality(v_round) is null or cardinality(array_positions(v_round, null)) > 0 then
            raise exception 'a user may be dispatched and has no item';
        end if;
        if v_campaigns is not null then
            update campaign
            set queued = campaign.queued - counted.n, processing = campaign.processing + counted.n, is_touched = true
            from (
                select campaign.tid, counted.n
                from (
                    select id, count(*)::integer as n from unnest(v_campaigns) as taken (id) group by id
                ) as counted
                cross join lateral (
                    select campaign.ctid as tid
                    from campaign
                    where campaign.company_id = p_company_id and campaign.id between counted.id and counted.id
                    order by campaign.id
                    limit 1
                ) as campaign
            ) as counted
            where campaign.ctid = counted.tid;
        end if;
        if v_lines is not null then
            -- Blocks before the head are forgotten. Only the primary key gives this order.
            delete from call_queue_hole
            where ctid = any (array(
                select hole.tid
                from unnest(v_lines) as moved (id)
                cross join lateral (
                    select line.head
                    from call_queue_line as line
                    where line.company_id = p_company_id and line.id = moved.id
                    offset 0
                ) as line
                cross join lateral (
                    select hole.ctid as tid
                    from call_queue_hole as hole
                    where hole.company_id = p_company_id and hole.line_id between moved.id and moved.id
                        and hole.block < line.head >> (8 * hole.level)
                    order by hole.line_id, hole.level, hole.block
                ) as hole
            ));
        end if;
        v_turn := v_turn + cardinality(v_round);
        v_done := v_done + cardinality(v_round);
        return query select unnest(v_round);
    end loop;
    if v_done > 0 or v_is_behind <> v_slots.is_behind then
        update call_slots
        set active = active + v_done, turn = v_turn, min_turn = v_slots.min_turn, is_behind = v_is_behind,
            due_at = case when v_is_behind then v_now else due_at end,
            lease_at = case when v_done = 0 then lease_at else coalesce(lease_at, v_now + v_settings.slot_lease) end
        where company_id = p_company_id;
    end if;
end
$$;
