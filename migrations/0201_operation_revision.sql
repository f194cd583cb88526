-- Lines are decided without locks and written if they are still as they were read.

alter table switchboard.operation_line
    add column revision bigint not null default 0;
comment on column switchboard.operation_line.revision is 'Raised by every write of the line or one of its requests, so that an unlocked read can be checked later: the greater of the last one plus 1 and the microseconds of the database''s clock. So it is never used again after the line was deleted.';
comment on column switchboard.operation_line.used_at is 'A use of the line that is at most one hour older than the last one, so that most writes change no index. An idle line is deleted later, never before its events.';

alter table switchboard.operation_request
    add column completed_by uuid;
comment on column switchboard.operation_request.completed_by is 'Of one that is finished: the call of completeChatCall that released the line. A call that runs again because its connection was lost finds its own id. Null: the lease ended.';
