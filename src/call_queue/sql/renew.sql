-- Renews slots. Locks their rows in order.
--
-- A row that somebody else changed after this statement took its snapshot and before it took the lock is not written. So
-- either the slots are held, or their calls are locked: then it was renewed by somebody else.
--
-- $1 company
-- $2 calls
-- $3 now
with
held as materialized (
    select slot.tid, slot.call_id
    from unnest($2::uuid[]) as asked (id)
    cross join lateral (
        select slot.ctid as tid, slot.call_id
        from active_calls as slot
        where slot.company_id = $1 and slot.call_id = asked.id
        for no key update
    ) as slot
),
renewed as (
    update active_calls as slot
    set heard_at = $3, asked_at = null
    from held
    where slot.ctid = held.tid
)
select held.call_id as "call_id!" from held
