create function switchboard.session_bad_id(p_name text, p_id text) returns text
    language sql immutable parallel safe
    return case
        when p_id is null or p_id !~ '\S' then p_name || ': must not be empty'
        when length(p_id) > 200 then p_name || ': must have at most 200 characters'
        when p_id ~ '[[:cntrl:]]' then p_name || ': must not contain control characters'
    end;
comment on function switchboard.session_bad_id(text, text) is 'What is wrong with an id; null: nothing.';
