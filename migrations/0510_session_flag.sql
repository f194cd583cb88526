create function switchboard.session_flag(p_device_info jsonb, p_name text) returns boolean
    language sql immutable parallel safe
    return case when jsonb_typeof(p_device_info -> p_name) = 'boolean' then (p_device_info ->> p_name)::boolean end;
comment on function switchboard.session_flag(jsonb, text) is 'A flag among the device info; null if it is not there.';
