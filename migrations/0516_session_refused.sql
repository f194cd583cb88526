create function switchboard.session_refused(p_code text, p_error text) returns jsonb
    language sql immutable parallel safe
    return jsonb_build_object('success', false, 'error', p_error, 'code', p_code);
comment on function switchboard.session_refused(text, text) is
    'The result of a call that was refused; the code is that of the GraphQL error.';
