create function switchboard.call_queue_use_settings(
    p_user_calls integer, p_system_calls integer, p_slot_lease interval, p_aging interval
) returns void
    language sql
    set search_path = switchboard, pg_temp
as $$
    update call_queue_settings
    set user_calls = p_user_calls, system_calls = p_system_calls, slot_lease = p_slot_lease, aging = p_aging,
        version = version
            + ((user_calls, system_calls, aging) is distinct from (p_user_calls, p_system_calls, p_aging))::integer
    where only_row and (user_calls, system_calls, slot_lease, aging)
        is distinct from (p_user_calls, p_system_calls, p_slot_lease, p_aging)
$$;
comment on function switchboard.call_queue_use_settings(integer, integer, interval, interval) is
    'Writes the settings of a server. A change that decides who may be dispatched raises their version: a sweep then settles the users of each company, under its own lock.';
revoke execute on function switchboard.call_queue_use_settings(integer, integer, interval, interval) from public;
