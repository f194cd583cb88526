create function switchboard.event_scope_key(p_company_id uuid, p_subject_type text, p_field text, p_value text)
    returns bigint
    language sql immutable strict parallel safe
    set search_path = switchboard, pg_temp
    return ('x' || encode(substr(sha256(convert_to(
        p_company_id::text || '/' || p_subject_type || '/' || p_field || '/' || p_value, 'UTF8'
    )), 1, 8), 'hex'))::bit(64)::bigint;
comment on function switchboard.event_scope_key(uuid, text, text, text) is
    'The key of all subjects of a type whose record has this text in this field, as the server computes it.';
