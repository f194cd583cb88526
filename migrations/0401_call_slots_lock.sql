create function switchboard.call_slots_lock(p_company_id uuid) returns void
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'the call queue works under read committed only' using errcode = 'invalid_transaction_state';
    end if;
    perform 1 from call_slots where company_id = p_company_id for no key update;
    if not found then
        insert into call_slots (company_id) values (p_company_id) on conflict (company_id) do nothing;
        perform 1 from call_slots where company_id = p_company_id for no key update;
    end if;
end
$$;
comment on function switchboard.call_slots_lock(uuid) is
    'Takes the one lock of a company''s queue. Nothing is read here: the statement''s snapshot may be older than the lock.';
revoke execute on function switchboard.call_slots_lock(uuid) from public;
