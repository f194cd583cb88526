-- Its condition is one that only the lists' own statements have: so a lookup of a session by its whole key, also that of a
-- foreign key, never reads it, whatever the statistics.
drop index switchboard.session_coordination_newest;
create index session_coordination_newest on switchboard.session_coordination (company_id, created_at, session_id)
    where created_at > '-infinity';
comment on index switchboard.session_coordination_newest is 'The operators'' list.';
