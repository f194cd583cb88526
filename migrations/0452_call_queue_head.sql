create function switchboard.call_queue_head(p_company_id uuid, p_line_id uuid, p_head bigint)
    returns table (id uuid, queued_at timestamptz)
    language sql stable
begin atomic
    select item.id, item.queued_at
    from switchboard.call_queue as item
    where item.company_id = p_company_id and item.line_id = p_line_id and item.number between p_head and p_head
        and item.status = 'QUEUED'
    -- Only the index of the line gives this order, so that is read, whenever the plan was made.
    order by item.number
    limit 1;
end;
comment on function switchboard.call_queue_head(uuid, uuid, bigint) is
    'The item at the head of a line, for whoever shows it; no row: nothing waits there. It sets nothing, so that a statement that calls it is planned with its text. Takes no lock.';
revoke execute on function switchboard.call_queue_head(uuid, uuid, bigint) from public;
