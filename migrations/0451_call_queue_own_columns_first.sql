-- A lookup by a whole primary key must not read one of these, whatever the statistics: so they begin with their own column,
-- and not with the company, under which the planner finds everything cheap as long as the table looks empty.
drop index switchboard.call_queue_call;
create unique index call_queue_call on switchboard.call_queue (call_id, company_id);
comment on index switchboard.call_queue_call is 'The item of a call.';

drop index switchboard.campaign_user;
create index campaign_user on switchboard.campaign (user_id, company_id, id);
comment on index switchboard.campaign_user is 'The campaigns of a user, newest last.';

-- The direct line, too: who is canceled, shown or watched as a whole has both kinds.
drop index switchboard.call_queue_line_user;
create index call_queue_line_user on switchboard.call_queue_line (user_id, company_id);
comment on index switchboard.call_queue_line_user is 'The lines of a user.';
