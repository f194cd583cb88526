create or replace function switchboard.call_dispatch(p_company_id uuid, p_most integer) returns setof uuid
    language plpgsql
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
    set enable_hashjoin = off
    set enable_mergejoin = off
as $$
declare
    v_slots     call_slots;
    v_settings  call_queue_settings;
    v_free      integer;
    v_room      integer;
    v_round     uuid[];
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
        -- A round: an item of each of them, in their order. Their next turns are behind all of these.
        with
        ready as materialized (
            select owner.*, row_number() over (order by owner.turn) as place
            from (
                select *
                from call_queue_user
                where company_id = p_company_id and may_dispatch and turn >= v_next
                order by turn
                limit v_room
            ) as owner
        ),
        picked as materialized (
            select ready.place, ready.direct_line, ready.call_limit, item.company_id, item.id, item.line_id, item.user_id,
                item.call_type, item.campaign_id, item.number, item.call_id, item.attempt,
                item.agent_id, item.phone_number, item.contact_id, item.contact_name, item.user_data, item.version + 1 as version, item.queued_at, item.requeued_at
            from ready
            cross join lateral (
                select * from call_queue_next(p_company_id, ready.user_id, v_now) offset 0
            ) as item
        ),
        -- The head of its line leaves: the next one that is queued is the head then.
        line_after as materialized (
            select picked.line_id, line.head as head_before, coalesce(next.number, line.tail + 1) as head, line.n - 1 as n,
                case when picked.campaign_id is null then line.finish else line.finish + call_queue_step(line.weight) end
                    as finish
            from picked
            cross join lateral (
                select * from call_queue_line as line where line.company_id = p_company_id and line.id = picked.line_id offset 0
            ) as line
            left join lateral (
                select item.number
                from call_queue as item
                where item.company_id = p_company_id and item.line_id = picked.line_id and item.number > picked.number
                    and item.status = 'QUEUED'
                order by item.number
                limit 1
            ) as next on true
        ),
        user_after as materialized (
            select picked.user_id, picked.campaign_id is not null as is_campaign, picked.place, picked.call_limit,
                direct.n - (picked.campaign_id is null)::integer as direct,
                coalesce(campaigns.n, 0) - (picked.campaign_id is not null)::integer as campaign,
                case when picked.campaign_id is not null then line_after.finish end as tag,
                least(extract(epoch from v_now - picked.queued_at) * 1000, 2147483647)::integer as waited
            from picked
            join line_after on line_after.line_id = picked.line_id
            cross join lateral (
                select line.n
                from call_queue_line as line
                where line.company_id = p_company_id and line.id = picked.direct_line
                offset 0
            ) as direct
            cross join lateral (
                select sum(line.n) as n
                from call_queue_line as line
                where line.company_id = p_company_id and line.user_id = picked.user_id and line.campaign_id is not null
                    and line.is_open
            ) as campaigns
        ),
        item_written as (
            update call_queue as item
            set status = 'PROCESSING', left_at = v_now, version = picked.version, revision = item.revision + 1,
                agent_id = picked.agent_id
            from picked
            where item.company_id = p_company_id and item.id = picked.id
        ),
        call_born as (
            insert into call (company_id, id, user_id, agent_id, call_type, campaign_id, phone_number, contact_id,
                contact_name, user_data, attempt, status, version, queued_at, inserted_at, updated_at)
            select p_company_id, picked.call_id, picked.user_id, picked.agent_id, picked.call_type, picked.campaign_id,
                picked.phone_number, picked.contact_id, picked.contact_name, picked.user_data, picked.attempt, 'RESERVED',
                picked.version, picked.requeued_at, v_now, v_now
            from picked
        ),
        slot_taken as (
            insert into active_calls (company_id, call_id, user_id, call_type, queue_id, since, heard_at)
            select p_company_id, picked.call_id, picked.user_id, picked.call_type, picked.id, v_now, v_now
            from picked
        ),
        line_written as (
            update call_queue_line as line
            set head = line_after.head, n = line_after.n, finish = line_after.finish
            from line_after
            where line.company_id = p_company_id and line.id = line_after.line_id
        ),
        -- Blocks before the head are forgotten.
        hole_forgotten as (
            delete from call_queue_hole as hole
            using line_after
            where line_after.head >> 8 > line_after.head_before >> 8
                and hole.company_id = p_company_id and hole.line_id = line_after.line_id
                and hole.block < line_after.head >> (8 * hole.level)
        ),
        campaign_written as (
            update campaign
            set queued = campaign.queued - 1, processing = campaign.processing + 1, is_touched = true
            from picked
            where campaign.company_id = p_company_id and campaign.id = picked.campaign_id
        ),
        user_written as (
            update call_queue_user as owner
            set active_direct = owner.active_direct + (not after.is_campaign)::integer,
                active_campaign = owner.active_campaign + after.is_campaign::integer,
                queued_direct = owner.queued_direct - (not after.is_campaign)::integer,
                queued_campaign = owner.queued_campaign - after.is_campaign::integer,
                turn = v_turn + after.place,
                is_waiting = after.direct + after.campaign > 0,
                may_dispatch = after.direct + after.campaign > 0
                    and owner.active_direct + owner.active_campaign + 1 < coalesce(after.call_limit, v_settings.user_calls),
                campaign_since = case when after.campaign = 0 then null when after.is_campaign then v_now
                    else coalesce(owner.campaign_since, v_now) end,
                virtual_time = coalesce(after.tag, owner.virtual_time),
                waited_ms = owner.waited_ms[greatest(cardinality(owner.waited_ms) - 48, 1):] || after.waited
            from user_after as after
            where owner.company_id = p_company_id and owner.user_id = after.user_id
        )
        select array_agg(picked.call_id order by picked.place) into v_round from picked;
        if cardinality(v_round) is null or cardinality(array_positions(v_round, null)) > 0 then
            raise exception 'a user may be dispatched and has no item';
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
comment on function switchboard.call_dispatch(uuid, integer) is
    'Gives free slots to what waits, in rounds: one item of each user in their turns, within a user by call_queue_next, until no slot is free or nobody may be dispatched. Each taken item gets its call, in state RESERVED, and its slot. Stops at p_most and notes that it is behind. Returns the calls in their order; the caller holds the lock of call_slots, and appends their events.';

drop function switchboard.call_queue_count_dispatch(switchboard.call_queue_user, switchboard.call_queue, bigint, timestamptz);
