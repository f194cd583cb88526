-- Its condition is one that only the scheduler's own statements have: so a lookup of a timer by its whole key never reads it,
-- whatever the statistics. It was read for each timer that a transaction set, cleared or fired: all timers of its purpose.
drop index switchboard.timer_due;
create index timer_due on switchboard.timer (subject_type, purpose, due_at) where due_at < 'infinity';
comment on index switchboard.timer_due is
    'The due timers of each purpose, the longest due first; when the next one is due.';
