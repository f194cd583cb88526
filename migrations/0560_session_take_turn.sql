create function switchboard.session_take_turn(p_duty text, p_every interval) returns timestamptz
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_now  timestamptz := switchboard.now();
    v_turn session_duty;
begin
    select * into v_turn from session_duty where duty = p_duty for no key update skip locked;
    -- A turn in the future was taken under a clock that has been set back since.
    if not found or (v_turn.ran_at + p_every > v_now and v_turn.ran_at <= v_now) then
        return null;
    end if;
    update session_duty set ran_at = v_now where duty = p_duty;
    return v_turn.ran_at;
end
$$;
comment on function switchboard.session_take_turn(text, interval) is
    'The time of the last turn, if the caller''s transaction does this duty now: nobody else does, and that turn is long enough ago. Else null. Locks: the duty, skipping what is locked.';
revoke execute on function switchboard.session_take_turn(text, interval) from public;
