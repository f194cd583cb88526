-- What waited and ran, once a minute, and what was dispatched in between.

create table switchboard.call_queue_sample (
    company_id uuid        not null references switchboard.company (id),
    user_id    text        not null,
    at         timestamptz not null check (at = date_trunc('minute', at)),
    direct     integer     not null default 0,
    campaign   integer     not null default 0,
    active     integer     not null default 0,
    dispatched integer     not null default 0,
    wait_p50   integer,
    wait_p90   integer,
    violations integer     not null default 0,
    primary key (company_id, user_id, at)
);
comment on table  switchboard.call_queue_sample is 'One row a minute for the company, and one for each user of which something waited, ran or was dispatched. Kept for a day. Only inserted; whichever server inserts the company''s row takes the others too.';
comment on column switchboard.call_queue_sample.company_id is 'The tenant.';
comment on column switchboard.call_queue_sample.user_id is 'The user; empty: the company, whose percentiles are no sums.';
comment on column switchboard.call_queue_sample.at is 'The end of the minute.';
comment on column switchboard.call_queue_sample.direct is 'Direct items that waited a few seconds after it.';
comment on column switchboard.call_queue_sample.campaign is 'Campaigns'' items that waited then, due or not.';
comment on column switchboard.call_queue_sample.active is 'Slots in use then.';
comment on column switchboard.call_queue_sample.dispatched is 'Calls that got a slot in the minute, from the line or at once; inbound ones are not counted.';
comment on column switchboard.call_queue_sample.wait_p50 is 'Half of them had waited for at most so many seconds, new tries apart; null: there was none.';
comment on column switchboard.call_queue_sample.wait_p90 is 'Nine of ten had waited for at most so many seconds.';
comment on column switchboard.call_queue_sample.violations is 'Campaigns'' calls of the minute that were dispatched before a direct call without a reason.';
create index call_queue_sample_at on switchboard.call_queue_sample (at);
comment on index switchboard.call_queue_sample_at is 'The oldest samples, which are deleted first.';
create index call_queue_sample_violations on switchboard.call_queue_sample (company_id, user_id, at) where violations > 0;
comment on index switchboard.call_queue_sample_violations is 'Normally empty.';

-- The condition is always true. It keeps the index from lookups by id: in an empty table, for which their plans are made, it
-- would look as good to them as the primary key.
create index call_inserted on switchboard.call (company_id, inserted_at) where inserted_at is not null;
comment on index switchboard.call_inserted is 'The log of dispatches: calls are inserted when they get their slots.';
create index call_campaign_inserted on switchboard.call (company_id, user_id, inserted_at) where call_type = 'CAMPAIGN';
comment on index switchboard.call_campaign_inserted is 'When the campaigns of a user last had a turn.';
