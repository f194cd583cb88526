-- Which sessions there is something to say about, found without reading the health of all the others.

create index session_health_trouble on switchboard.session_health (company_id, session_id)
    where status = 'FAILED' or poor_samples <> 0 or slow_samples <> 0 or lossy_samples <> 0;
comment on index switchboard.session_health_trouble is
    'Participants that cannot connect or had a bad sample among their last five. A heartbeat changes none of its columns, so it still changes a row in place.';

create index session_health_silent on switchboard.session_health (disconnected_at)
    where status = 'DISCONNECTED' and not has_left;
comment on index switchboard.session_health_silent is 'Participants that were found silent, by when.';

create index session_coordination_advised on switchboard.session_coordination (company_id, session_id)
    where ended_at is null and quality ->> 'recommendation' <> 'none';
comment on index switchboard.session_coordination_advised is 'Open sessions whose published recommendation may have to be withdrawn.';

comment on table switchboard.session_health is 'When each participant was last heard, and how well it goes. Narrow, half empty, and beside its key only in indexes of those in trouble, so that a heartbeat changes a row in place. One row a participant, not one a sample. No foreign key: a heartbeat must not lock the session.';
