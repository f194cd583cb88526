create function switchboard.call_queue_write_canceled(p_company_id uuid, p_queue_id uuid, p_at timestamptz) returns void
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
begin
    update call_queue
    set status = 'CANCELED', left_at = p_at, version = version + 1, revision = revision + 1
    where company_id = p_company_id and id = p_queue_id and status = 'QUEUED';
end
$$;
comment on function switchboard.call_queue_write_canceled(uuid, uuid, timestamptz) is
    'Writes into an item''s row that it was canceled with its whole line; counters were changed then. The caller holds the lock of call_slots.';
revoke execute on function switchboard.call_queue_write_canceled(uuid, uuid, timestamptz) from public;
