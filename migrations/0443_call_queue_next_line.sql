create function switchboard.call_queue_next_line(p_company_id uuid, p_user_id text, p_now timestamptz)
    returns table (line_id uuid)
    language sql stable
begin atomic
    select
        case
            when campaign.id is null then direct.id
            when direct.n = 0 then campaign.id
            when settings.aging > interval '0' and owner.campaign_since + settings.aging <= p_now then campaign.id
            else direct.id
        end
    from (
        -- Only the primary key gives this order, so that is read, whenever the plan was made.
        select owner.user_id, owner.direct_line, owner.queued_campaign, owner.campaign_since
        from switchboard.call_queue_user as owner
        where owner.company_id = p_company_id and owner.user_id between p_user_id and p_user_id
        order by owner.user_id
        limit 1
    ) as owner
    cross join (
        select settings.aging from switchboard.call_queue_settings as settings where settings.only_row limit 1
    ) as settings
    cross join lateral (
        select line.id, line.n
        from switchboard.call_queue_line as line
        where line.company_id = p_company_id and line.id = owner.direct_line
        offset 0
    ) as direct
    left join lateral (
        select line.id
        from switchboard.call_queue_line as line
        where line.company_id = p_company_id and line.user_id = owner.user_id and line.campaign_id is not null
            and line.is_open and line.n > 0 and owner.queued_campaign > 0
        order by line.finish + switchboard.call_queue_step(line.weight), line.id
        limit 1
    ) as campaign on true
    where direct.n > 0 or campaign.id is not null;
end;
comment on function switchboard.call_queue_next_line(uuid, text, timestamptz) is
    'The line whose head a dispatch takes for a user: the direct one, then its campaigns'' with the smallest tag; that one first, if its campaigns have waited for longer than the setting aging. No row: nothing may be dispatched. It sets nothing, so that a statement that calls it for many users is planned with its text. Ignores slots; takes no lock.';
revoke execute on function switchboard.call_queue_next_line(uuid, text, timestamptz) from public;
