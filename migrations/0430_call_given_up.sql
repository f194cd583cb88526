-- Calls that were given up and are heard of again are part of the present state of callHangUps.
create index call_given_up on switchboard.call (company_id, id)
    where status = 'ENDED' and end_reason = 'LEASE_EXPIRED' and pending_hang_up;
comment on index switchboard.call_given_up is
    'Calls that ended LEASE_EXPIRED and live after all: few of many.';
