create function switchboard.recommend_quality_recovery(p_session_id text) returns jsonb
    language plpgsql security definer
    set search_path = switchboard, pg_temp
as $$
declare
    v_company_id uuid := session_company();
    v_refused    jsonb := '{}';
begin
    if v_company_id is null then
        v_refused := session_refused('FORBIDDEN', 'set switchboard.company_id to a company that you are granted');
    end if;
    return v_refused || coalesce(
        (
            select jsonb_build_object(
                'recommendation', recommendation, 'should_recover', should_recover, 'metrics', metrics)
            from session_quality_now
            where company_id = v_company_id and session_id = p_session_id
        ),
        '{"recommendation": "none", "should_recover": false, "metrics": {"latency": null, "packetLoss": null, "users": 0}}');
end
$$;
comment on function switchboard.recommend_quality_recovery(text) is
    '{recommendation, should_recover, metrics}: whether quality is a reason to leave the provider.';
revoke execute on function switchboard.recommend_quality_recovery(text) from public;
