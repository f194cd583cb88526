-- A lookup of a call by its whole key must not read this index, whatever the statistics: so it begins with the user, and not
-- with the company, under which the planner finds everything cheap as long as the table looks empty.
drop index switchboard.call_user;
create index call_user on switchboard.call (user_id, company_id, id);
comment on index switchboard.call_user is 'The calls of a user, newest last.';
