-- Makes this session the only one that maintains the log's partitions, unless another is. The advisory lock is the
-- session's; it is free again when the session ends.
select pg_try_advisory_lock(hashtext('switchboard.event_retention')) as "taken!";
