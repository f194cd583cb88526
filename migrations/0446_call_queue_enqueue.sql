-- As before, but a contact's open item is found by its whole key, whenever the plan was made: only the index of open
-- contacts gives the order by contact. A plan that was made while the table was empty read all items of the campaign for each
-- contact.
create or replace function switchboard.call_queue_enqueue(
    p_company_id uuid, p_campaign_id uuid, p_queue_ids uuid[], p_call_ids uuid[], p_phone_numbers text[],
    p_contact_ids text[], p_contact_names text[], p_user_data text[], out entered boolean[], out replaced uuid[]
)
    language plpgsql
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
as $$
declare
    v_campaign campaign;
    v_line     call_queue_line;
    v_entered  integer;
    v_now      timestamptz := switchboard.now();
begin
    select * into v_campaign from campaign where company_id = p_company_id and id = p_campaign_id;
    select * into v_line from call_queue_line where company_id = p_company_id and id = p_campaign_id;
    -- Canceled with its whole line: the contact is free at once.
    with
    freed as materialized (
        select item.id, item.call_id
        from (select distinct contact_id from unnest(p_contact_ids) as asked (contact_id)) as asked
        cross join lateral (
            select *
            from call_queue as item
            where item.company_id = p_company_id and item.campaign_id = p_campaign_id
                and item.contact_id between asked.contact_id and asked.contact_id and item.status = 'QUEUED'
            order by item.contact_id
            limit 1
        ) as item
        where call_queue_is_canceled(item, v_line)
    ),
    written as (
        select freed.call_id, call_queue_write_canceled(p_company_id, freed.id, v_line.canceled_at)
        from freed
    )
    select coalesce(array_agg(written.call_id), '{}') into replaced from written;
    with
    asked as materialized (
        select *, row_number() over (partition by asked.contact_id order by asked.place) as again
        from unnest(p_queue_ids, p_call_ids, p_phone_numbers, p_contact_ids, p_contact_names, p_user_data)
            with ordinality as asked (queue_id, call_id, phone_number, contact_id, contact_name, user_data, place)
    ),
    fresh as materialized (
        select asked.*, row_number() over (order by asked.place) as nth
        from asked
        left join lateral (
            select true as is_open
            from call_queue as item
            where item.company_id = p_company_id and item.campaign_id = p_campaign_id
                and item.contact_id between asked.contact_id and asked.contact_id
                and item.status in ('QUEUED', 'PROCESSING')
            order by item.contact_id
            limit 1
        ) as known on true
        where asked.again = 1 and known.is_open is null
    ),
    inserted as (
        insert into call_queue (company_id, id, line_id, user_id, call_type, campaign_id, number, status, call_id, agent_id,
            phone_number, contact_id, contact_name, user_data, queued_at, requeued_at)
        select p_company_id, fresh.queue_id, p_campaign_id, v_campaign.user_id, 'CAMPAIGN', p_campaign_id,
            v_line.tail + fresh.nth, 'QUEUED', fresh.call_id, v_campaign.agent_id, fresh.phone_number, fresh.contact_id,
            fresh.contact_name, fresh.user_data::jsonb, v_now, v_now
        from fresh
        order by fresh.nth
    )
    select coalesce(array_agg(fresh.nth is not null order by asked.place), '{}'), count(fresh.nth)
    into entered, v_entered
    from asked
    left join fresh using (place);
    if v_entered = 0 then
        return;
    end if;
    perform call_queue_enter(p_company_id, p_campaign_id);
    update call_queue_line
    set tail = tail + v_entered - 1, n = n + v_entered - 1
    where company_id = p_company_id and id = p_campaign_id;
    update call_queue_user
    set queued_campaign = queued_campaign + v_entered
    where company_id = p_company_id and user_id = v_campaign.user_id;
    update campaign
    set queued = queued + v_entered, is_touched = true,
        status = case when status = 'COMPLETED' then 'ACTIVE' else status end
    where company_id = p_company_id and id = p_campaign_id;
    perform call_queue_refresh_user(p_company_id, v_campaign.user_id, v_now);
end
$$;
