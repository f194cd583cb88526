create function switchboard.session_clean_up() returns integer
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_settings session_settings;
    v_now      timestamptz;
    v_before   session_coordination;
    v_session  session_coordination;
    v_ended    integer := 0;
begin
    select * into strict v_settings from session_settings;
    if session_take_turn('cleanup', v_settings.cleanup_every * 0.95) is null then
        return 0;
    end if;
    v_now := switchboard.now();
    for v_before in
        select * from session_coordination
        where ended_at is null and empty_since <= v_now - v_settings.idle_end
        order by company_id, session_id
        limit 1000
        for no key update skip locked
    loop
        -- Somebody may have been heard since, whose report waits for this lock.
        continue when not session_is_empty(v_before.company_id, v_before.session_id);
        update session_coordination
        set ended_at = v_now, awaited_users = '{}', awaited_until = null, version = version + 1, updated_at = v_now
        where company_id = v_before.company_id and session_id = v_before.session_id
        returning * into strict v_session;
        perform session_append(v_session, v_before, 'SessionEnded', null, '[]');
        v_ended := v_ended + 1;
    end loop;
    with silent as (
        delete from session_health
        where ctid in (
            select ctid from session_health
            where status = 'DISCONNECTED' and last_ping <= v_now - v_settings.retention
            limit 10000
            for update skip locked
        )
        returning company_id, session_id, user_id
    )
    delete from session_participant as participant
    using silent
    where participant.company_id = silent.company_id and participant.session_id = silent.session_id
        and participant.user_id = silent.user_id;
    delete from session_provider_outcome where folded and at <= v_now - interval '1 hour';
    return v_ended;
end
$$;
comment on function switchboard.session_clean_up() is
    'Ends sessions in which nobody has been present for long, and deletes the rows of participants that have been silent for the retention time. Returns how many sessions ended. Locks: the duty; sessions and participants, none that is locked.';
revoke execute on function switchboard.session_clean_up() from public;
