create function switchboard.set_timer(p_subject_type text, p_subject_id text, p_purpose text, p_due_at timestamptz)
    returns void
    language plpgsql security definer
    set search_path = switchboard, pg_temp
as $$
declare
    v_company_id uuid := require_sql_company();
    v_now        timestamptz;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'set_timer needs read committed' using errcode = 'invalid_transaction_state';
    end if;
    -- Servers read the times of all companies: one that they cannot represent must not come among them.
    if p_due_at is null or p_due_at >= '9999-01-01Z' then
        raise exception 'set_timer needs a due time before the year 9999' using errcode = 'invalid_parameter_value';
    end if;
    if length(p_subject_type) > 200 or length(p_subject_id) > 200 or length(p_purpose) > 200 then
        raise exception 'set_timer takes names of at most 200 characters' using errcode = 'invalid_parameter_value';
    end if;
    insert into timer (company_id, subject_type, subject_id, purpose, due_at, token)
    values (v_company_id, p_subject_type, p_subject_id, p_purpose, greatest(p_due_at, '2000-01-01Z'), gen_random_uuid())
    on conflict (company_id, subject_type, subject_id, purpose)
        do update set due_at = excluded.due_at, token = excluded.token, attempts = 0;
    v_now := switchboard.now();
    -- A commit that notifies takes a lock of the whole cluster. A scheduler looks for timers by itself at least once a
    -- minute (the bound of SWITCHBOARD_TIMER_POLL), so only a timer that is due before that needs a wake-up.
    if p_due_at < v_now + interval '1 minute' then
        perform pg_notify('switchboard_timer', '');
    end if;
end
$$;
comment on function switchboard.set_timer(text, text, text, timestamptz) is
    'Sets a timer of the caller''s company, for SQL callers that hold the subject''s lock. Replaces the one of the same subject and purpose. Schedulers notice it when the transaction commits.';
revoke execute on function switchboard.set_timer(text, text, text, timestamptz) from public;
