-- Calls that were never dispatched have no row: lists of calls read them from their items. Entries of a queued item are
-- written when it enters, and a dispatch writes none.
create index call_queue_undispatched on switchboard.call_queue (company_id, status, call_id)
    where status in ('QUEUED', 'CANCELED');
comment on index switchboard.call_queue_undispatched is 'Calls of a company that wait, or ended in the queue, newest last.';
create index call_queue_undispatched_user on switchboard.call_queue (company_id, user_id, status, call_id)
    where status in ('QUEUED', 'CANCELED');
comment on index switchboard.call_queue_undispatched_user is 'The same of a user.';
create index call_queue_undispatched_campaign on switchboard.call_queue (company_id, campaign_id, status, call_id)
    where status in ('QUEUED', 'CANCELED') and campaign_id is not null;
comment on index switchboard.call_queue_undispatched_campaign is 'The same of a campaign.';
