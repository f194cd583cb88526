create function switchboard.call_queue_leave(p_company_id uuid, p_line_id uuid, p_number bigint) returns void
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_line call_queue_line;
    v_head bigint;
begin
    select * into v_line from call_queue_line where company_id = p_company_id and id = p_line_id;
    if p_number > v_line.head then
        update call_queue_line set n = n - 1 where company_id = p_company_id and id = p_line_id;
        insert into call_queue_hole as hole (company_id, line_id, level, block, n)
        values (p_company_id, p_line_id, 1, p_number >> 8, 1), (p_company_id, p_line_id, 2, p_number >> 16, 1)
        on conflict (company_id, line_id, level, block) do update set n = hole.n + 1;
        return;
    end if;
    select number into v_head
    from call_queue
    where company_id = p_company_id and line_id = p_line_id and number > p_number and status = 'QUEUED'
    order by number
    limit 1;
    v_head := coalesce(v_head, v_line.tail + 1);
    update call_queue_line set n = n - 1, head = v_head where company_id = p_company_id and id = p_line_id;
    if v_head >> 8 > v_line.head >> 8 then
        delete from call_queue_hole
        where company_id = p_company_id and line_id = p_line_id and level = 1 and block < v_head >> 8;
        if v_head >> 16 > v_line.head >> 16 then
            delete from call_queue_hole
            where company_id = p_company_id and line_id = p_line_id and level = 2 and block < v_head >> 16;
        end if;
    end if;
end
$$;
comment on function switchboard.call_queue_leave(uuid, uuid, bigint) is
    'Takes a number out of its line: the head, or one inside, which leaves a hole. The caller holds the lock of call_slots, and has written the item, which is not QUEUED any more.';
revoke execute on function switchboard.call_queue_leave(uuid, uuid, bigint) from public;
