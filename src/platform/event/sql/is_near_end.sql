-- True if at most so many events were written by transactions after a position. Takes no lock.
--   $1 seen  text    xid8: greatest transaction of the position
--   $2 most  bigint
select not exists (
    select 1 from event
    where xid > $1::text::xid8
    order by xid
    offset $2
) as "near!";
