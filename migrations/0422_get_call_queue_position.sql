create function switchboard.get_call_queue_position(p_queue_id uuid) returns bigint
    language plpgsql stable security definer
    set search_path = switchboard, pg_temp
as $$
declare
    v_company_id uuid := require_sql_company();
begin
    return (select place.position_in_type from call_queue_position(v_company_id, p_queue_id, switchboard.now()) as place);
end
$$;
comment on function switchboard.get_call_queue_position(uuid) is
    'The place of an item among its user''s of the same type, from 1; null: unknown, or not queued. For SQL callers; SQLSTATE 42501 without a company.';
revoke execute on function switchboard.get_call_queue_position(uuid) from public;
