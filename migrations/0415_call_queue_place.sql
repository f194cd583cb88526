create function switchboard.call_queue_place(p_line switchboard.call_queue_line, p_number bigint) returns bigint
    language plpgsql stable
    set search_path = switchboard, pg_temp
as $$
declare
    v_first  bigint := (p_line.head >> 8) + 1;
    v_last   bigint := p_number >> 8;
    v_first2 bigint := (p_line.head >> 16) + 1;
    v_last2  bigint := p_number >> 16;
    v_ends   bigint;
    v_blocks bigint := 0;
begin
    if v_first > v_last then
        -- Both ends are in one block.
        select count(*) into v_ends
        from call_queue
        where company_id = p_line.company_id and line_id = p_line.id and status = 'CANCELED'
            and number > p_line.head and number < p_number;
        return p_number - p_line.head + 1 - v_ends;
    end if;
    select count(*) into v_ends
    from (
        select 1
        from call_queue
        where company_id = p_line.company_id and line_id = p_line.id and status = 'CANCELED'
            and number > p_line.head and number < v_first << 8
        union all
        select 1
        from call_queue
        where company_id = p_line.company_id and line_id = p_line.id and status = 'CANCELED'
            and number >= v_last << 8 and number < p_number
    ) as hole;
    if v_first2 > v_last2 then
        select coalesce(sum(n), 0) into v_blocks
        from call_queue_hole
        where company_id = p_line.company_id and line_id = p_line.id and level = 1
            and block >= v_first and block < v_last;
    else
        select coalesce(sum(n), 0) into v_blocks
        from (
            select n
            from call_queue_hole
            where company_id = p_line.company_id and line_id = p_line.id and level = 1
                and block >= v_first and block < v_first2 << 8
            union all
            select n
            from call_queue_hole
            where company_id = p_line.company_id and line_id = p_line.id and level = 2
                and block >= v_first2 and block < v_last2
            union all
            select n
            from call_queue_hole
            where company_id = p_line.company_id and line_id = p_line.id and level = 1
                and block >= v_last2 << 8 and block < v_last
        ) as hole;
    end if;
    return p_number - p_line.head + 1 - v_ends - v_blocks;
end
$$;
comment on function switchboard.call_queue_place(switchboard.call_queue_line, bigint) is
    'The place of a number that is queued in its line, from 1: how many numbers there are from the head to it, less the holes between. Whole blocks of holes are summed, the two ends are counted: at most 512 holes and 525 blocks up to a length of 2^20.';
revoke execute on function switchboard.call_queue_place(switchboard.call_queue_line, bigint) from public;
