-- Only what was dispatched has its entry: what waits is written into one index less, and no plan that was made on an empty table
-- looks for an item by an index of all items of a company.
drop index switchboard.call_queue_left;
create index call_queue_left on switchboard.call_queue (company_id, user_id, call_type, left_at) where left_at is not null;
comment on index switchboard.call_queue_left is 'The order of dispatches, by which violations of priority are counted.';
