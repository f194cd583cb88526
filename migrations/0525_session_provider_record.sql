create function switchboard.session_provider_record(p_provider switchboard.session_provider) returns jsonb
    language sql stable parallel safe
    return jsonb_build_object(
        'companyId', p_provider.company_id, 'name', p_provider.name, 'rank', p_provider.rank,
        'state', p_provider.state, 'score', p_provider.score, 'version', p_provider.version);
comment on function switchboard.session_provider_record(switchboard.session_provider) is 'A provider in an event''s payload.';
