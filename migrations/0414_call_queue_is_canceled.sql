create function switchboard.call_queue_is_canceled(p_item switchboard.call_queue, p_line switchboard.call_queue_line)
    returns boolean
    language sql immutable parallel safe
    return p_item.status = 'QUEUED' and (
        coalesce(p_item.number <= p_line.canceled_through, false)
        or (p_item.number is null and coalesce(p_item.requeued_at <= p_line.canceled_at, false)));
comment on function switchboard.call_queue_is_canceled(switchboard.call_queue, switchboard.call_queue_line) is
    'True for an item that was canceled with its whole line, and whose row does not say so yet.';
revoke execute on function switchboard.call_queue_is_canceled(switchboard.call_queue, switchboard.call_queue_line) from public;
