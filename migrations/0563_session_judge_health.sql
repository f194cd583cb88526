create function switchboard.session_judge_health() returns table (company_id uuid, session_id text)
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
#variable_conflict use_column
declare
    v_every interval;
begin
    select check_every into strict v_every from session_settings;
    if session_take_turn('health', v_every * 0.95) is null then
        return;
    end if;
    return query
    select coalesce(judged.company_id, held.company_id), coalesce(judged.session_id, held.session_id)
    from session_alert_now as judged
    full join (select * from session_alert where cleared_at is null) as held
        on held.company_id = judged.company_id and held.session_id = judged.session_id and held.type = judged.type
    where held.alert_id is null or judged.type is null
        or held.user_ids <> judged.user_ids or held.severity <> judged.severity
    union
    select quality.company_id, quality.session_id
    from session_quality_now as quality
    where quality.should_recover
        or quality.published ->> 'recommendation' <> quality.recommendation
    order by 1, 2;
end
$$;
comment on function switchboard.session_judge_health() is
    'The sessions whose alerts or recommendation are no longer as published, or that should recover; none if it is not the caller''s turn. Locks: the duty.';
revoke execute on function switchboard.session_judge_health() from public;
