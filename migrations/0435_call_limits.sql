-- Limits are a subject of their own: who changed them is in the audit trail, and live views see it.
alter table switchboard.call_slots add column limits integer not null default 0;
comment on column switchboard.call_slots.limits is 'Version of the subject call_limits.';
insert into switchboard.event_subject (subject_type, relation, id_column, id_type, version_column, scope_fields, names) values
    ('call_limits', 'call_slots', 'company_id', 'uuid', 'limits', '{}', '{companyId,version,userId,limit,systemLimit}');

-- Live views of a user's queue hear of its campaigns: a window that turns changes the order.
update switchboard.event_subject set scope_fields = '{userId}' where subject_type = 'campaign';

-- Who may be dispatched follows from the settings too: a company's users are settled again after a change of them.
alter table switchboard.call_queue_settings add column version integer not null default 0;
comment on column switchboard.call_queue_settings.version is 'Raised when limits or aging change.';
alter table switchboard.call_slots add column settings integer not null default 0;
comment on column switchboard.call_slots.settings is 'The version of call_queue_settings that users were last settled for.';
