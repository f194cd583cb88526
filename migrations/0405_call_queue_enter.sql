create function switchboard.call_queue_enter(p_company_id uuid, p_line_id uuid) returns bigint
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_number bigint;
begin
    update call_queue_line as line
    set tail = line.tail + 1,
        head = case when line.n = 0 then line.tail + 1 else line.head end,
        n = line.n + 1,
        -- A line that begins to wait starts at the user's present virtual time, and cannot claim turns of the past.
        finish = case when line.n > 0 or line.campaign_id is null then line.finish
            else greatest(line.finish, (
                select virtual_time from call_queue_user as owner
                where owner.company_id = p_company_id and owner.user_id = line.user_id
            )) end
    where line.company_id = p_company_id and line.id = p_line_id
    returning line.tail into v_number;
    return v_number;
end
$$;
comment on function switchboard.call_queue_enter(uuid, uuid) is
    'Gives the next number of a line. The caller holds the lock of call_slots, and writes the item.';
revoke execute on function switchboard.call_queue_enter(uuid, uuid) from public;
