create function switchboard.session_require_read_committed() returns void
    language plpgsql
as $$
begin
    -- A decision reads after its lock: under another isolation it would read what was before.
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'sessions work under read committed only' using errcode = 'invalid_transaction_state';
    end if;
end
$$;
comment on function switchboard.session_require_read_committed() is 'Fails under any other isolation.';
