create function switchboard.call_queue_find_user(p_company_id uuid, p_user_id text) returns switchboard.call_queue_user
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_user call_queue_user;
begin
    select * into v_user from call_queue_user where company_id = p_company_id and user_id = p_user_id;
    if found then
        return v_user;
    end if;
    insert into call_queue_user (company_id, user_id, direct_line)
    values (p_company_id, p_user_id, gen_random_uuid())
    returning * into v_user;
    insert into call_queue_line (company_id, id, user_id)
    values (p_company_id, v_user.direct_line, p_user_id);
    return v_user;
end
$$;
comment on function switchboard.call_queue_find_user(uuid, text) is
    'A user, which comes into being with its direct line. The caller holds the lock of call_slots.';
revoke execute on function switchboard.call_queue_find_user(uuid, text) from public;
