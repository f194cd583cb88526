-- Sessions: everybody in a video session is on one provider; who is present, how well it goes, which providers work.

create table switchboard.session_settings (
    only_row           boolean  primary key default true check (only_row),
    default_providers  text[]   not null default '{daily,p2p}' check (cardinality(default_providers) between 1 and 100),
    stale_after        interval not null default '30 seconds',
    sweep_every        interval not null default '500 milliseconds',
    check_every        interval not null default '10 seconds',
    cleanup_every      interval not null default '1 minute',
    retention          interval not null default '24 hours',
    idle_end           interval not null default '1 hour',
    dwell              interval not null default '30 seconds',
    cooling            interval not null default '60 seconds',
    settle             interval not null default '10 seconds',
    regroup            interval not null default '30 seconds',
    excellent_latency  integer  not null default 100,
    excellent_packet_loss real  not null default 1,
    fair_latency       integer  not null default 250,
    fair_packet_loss   real     not null default 4,
    poor_latency       integer  not null default 400,
    poor_packet_loss   real     not null default 8,
    recover_latency    integer  not null default 800,
    recover_packet_loss real    not null default 10,
    automatic_recovery boolean  not null default true
);
comment on table  switchboard.session_settings is 'The knobs of sessions, as one row: SQL functions see no environment. A server writes them when it starts, if they differ.';
comment on column switchboard.session_settings.only_row is 'Makes this a table of one row.';
comment on column switchboard.session_settings.default_providers is 'Providers of companies that have not set their own, best first.';
comment on column switchboard.session_settings.stale_after is 'A participant silent for that long is disconnected.';
comment on column switchboard.session_settings.sweep_every is 'How often participants that have gone silent are looked for.';
comment on column switchboard.session_settings.check_every is 'How often alerts and recommendations are judged.';
comment on column switchboard.session_settings.cleanup_every is 'How often idle sessions are ended and old rows deleted.';
comment on column switchboard.session_settings.retention is 'How long the rows of silent participants and cleared alerts are kept.';
comment on column switchboard.session_settings.idle_end is 'A session with nobody present for that long ends.';
comment on column switchboard.session_settings.dwell is 'Shortest time on a provider before a switch for quality.';
comment on column switchboard.session_settings.cooling is 'How long a provider that failed in a session is avoided by that session.';
comment on column switchboard.session_settings.settle is 'Age of an epoch from which a failure reported without an epoch counts, whoever reports it.';
comment on column switchboard.session_settings.regroup is 'Longest time that a session counts as reconnecting after a switch.';
comment on column switchboard.session_settings.excellent_latency is 'A sample below this many milliseconds may be excellent.';
comment on column switchboard.session_settings.excellent_packet_loss is 'A sample below this many percent may be excellent.';
comment on column switchboard.session_settings.fair_latency is 'A sample above this many milliseconds is at most fair.';
comment on column switchboard.session_settings.fair_packet_loss is 'A sample above this many percent is at most fair.';
comment on column switchboard.session_settings.poor_latency is 'A sample above this many milliseconds is poor.';
comment on column switchboard.session_settings.poor_packet_loss is 'A sample above this many percent is poor.';
comment on column switchboard.session_settings.recover_latency is 'A sample above this many milliseconds is a reason to switch.';
comment on column switchboard.session_settings.recover_packet_loss is 'A sample above this many percent is a reason to switch.';
comment on column switchboard.session_settings.automatic_recovery is 'Whether the servers act on a recommendation themselves.';
insert into switchboard.session_settings default values;

create table switchboard.session_duty (
    duty       text        primary key,
    ran_at     timestamptz not null default '-infinity'
);
comment on table  switchboard.session_duty is 'Work that one server at a time does for all: the row''s lock is the right to do it, ran_at the pace. Any server may take the next turn, so a server that dies delays nothing.';
comment on column switchboard.session_duty.duty is 'presence, providers, health, cleanup.';
comment on column switchboard.session_duty.ran_at is 'The last turn.';
insert into switchboard.session_duty (duty) values ('presence'), ('providers'), ('health'), ('cleanup');

create table switchboard.session_provider (
    company_id      uuid             not null references switchboard.company (id),
    name            text             not null check (name ~ '^[a-z0-9_-]{1,64}$' and name <> 'none'),
    rank            integer          not null,
    state           text             not null default 'USABLE' check (state in ('USABLE', 'PROBING', 'AVOIDED', 'DISABLED')),
    score           double precision not null default 80 check (score between 0 and 100),
    published_score double precision not null default 80,
    is_default      boolean          not null,
    avoid_until     timestamptz,
    avoid_for       interval         not null default '0',
    probe_session   text,
    probe_until     timestamptz,
    version         integer          not null default 1,
    updated_at      timestamptz      not null default switchboard.now(),
    primary key (company_id, name),
    constraint avoided_until check ((state = 'AVOIDED') = (avoid_until is not null))
);
comment on table  switchboard.session_provider is 'A company''s providers and how they do in all of its sessions.';
comment on column switchboard.session_provider.company_id is 'The tenant.';
comment on column switchboard.session_provider.name is 'The provider, as clients name it.';
comment on column switchboard.session_provider.rank is 'Order of preference, from 1.';
comment on column switchboard.session_provider.state is 'AVOIDED: not chosen while another is usable. PROBING: tried by one session at a time. DISABLED: not in the company''s list.';
comment on column switchboard.session_provider.score is '0 to 100: successes raise it by 5, failures lower it by 15.';
comment on column switchboard.session_provider.published_score is 'The score in the newest event.';
comment on column switchboard.session_provider.is_default is 'True until the company sets its own list: then the server''s defaults no longer apply.';
comment on column switchboard.session_provider.avoid_until is 'When an avoided provider may be tried again.';
comment on column switchboard.session_provider.avoid_for is 'The last time of avoidance; doubled by the next in a row.';
comment on column switchboard.session_provider.probe_session is 'The session that tries it now.';
comment on column switchboard.session_provider.probe_until is 'Until when no other session may.';
comment on column switchboard.session_provider.version is 'Raised with state, rank, or 10 points of the score.';
comment on column switchboard.session_provider.updated_at is 'When it last changed.';

create table switchboard.session_provider_outcome (
    company_id uuid        not null,
    provider   text        not null,
    at         timestamptz not null,
    session_id text        not null,
    epoch      integer     not null,
    succeeded  boolean     not null,
    folded     boolean     not null default false,
    primary key (company_id, provider, at, session_id, epoch, succeeded),
    foreign key (company_id, provider) references switchboard.session_provider (company_id, name)
);
comment on table  switchboard.session_provider_outcome is 'Successes and failures of providers, appended by sessions and folded into the score once a second: so sessions do not wait for each other on one hot row.';
comment on column switchboard.session_provider_outcome.company_id is 'The tenant.';
comment on column switchboard.session_provider_outcome.provider is 'Which provider.';
comment on column switchboard.session_provider_outcome.at is 'When it was reported.';
comment on column switchboard.session_provider_outcome.session_id is 'Where.';
comment on column switchboard.session_provider_outcome.epoch is 'In which epoch.';
comment on column switchboard.session_provider_outcome.succeeded is 'The first participant connected, or the session left the provider.';
comment on column switchboard.session_provider_outcome.folded is 'True once the score contains it.';

create index session_provider_outcome_unfolded on switchboard.session_provider_outcome (company_id, provider, at) where not folded;
comment on index switchboard.session_provider_outcome_unfolded is 'What the next fold takes.';

create table switchboard.session_coordination (
    company_id           uuid        not null references switchboard.company (id),
    session_id           text        not null check (length(session_id) between 1 and 200),
    active_provider      text        not null default 'none',
    fallback_provider    text,
    epoch                integer     not null default 0,
    room_id              text,
    selected_by          text,
    selected_at          timestamptz,
    recovery_from        text,
    recovery_reason      text,
    affected_users       text[]      not null default '{}',
    awaited_users        text[]      not null default '{}',
    awaited_until        timestamptz,
    last_provider_change timestamptz,
    succeeded_epoch      integer     not null default 0,
    empty_since          timestamptz,
    quality              jsonb       not null default '{"shouldRecover": false, "recommendation": "none"}',
    quality_version      integer     not null default 0,
    version              integer     not null default 0,
    created_at           timestamptz not null default switchboard.now(),
    updated_at           timestamptz not null default switchboard.now(),
    ended_at             timestamptz,
    primary key (company_id, session_id),
    constraint chosen_from_first_epoch check (active_provider = 'none' or epoch > 0)
) with (fillfactor = 70);
comment on table  switchboard.session_coordination is 'One video session. Its row lock decides everything about its provider and its participants'' states. Never deleted, so that epochs never start again.';
comment on column switchboard.session_coordination.company_id is 'The tenant; equal ids in two companies are two sessions.';
comment on column switchboard.session_coordination.session_id is 'Chosen by the clients.';
comment on column switchboard.session_coordination.active_provider is 'The one provider of all participants; ''none'' before the first choice.';
comment on column switchboard.session_coordination.fallback_provider is 'What a recovery would have chosen when the active one was chosen.';
comment on column switchboard.session_coordination.epoch is 'Raised by one at every choice of provider. Reports carry it, so that those about an earlier choice are known.';
comment on column switchboard.session_coordination.room_id is 'The room of the first choice; kept through recoveries.';
comment on column switchboard.session_coordination.selected_by is 'Who caused the present choice.';
comment on column switchboard.session_coordination.selected_at is 'When the present choice was made.';
comment on column switchboard.session_coordination.recovery_from is 'The provider that the present epoch left; null after a first choice.';
comment on column switchboard.session_coordination.recovery_reason is 'Why it was left.';
comment on column switchboard.session_coordination.affected_users is 'Who was connected when it was left.';
comment on column switchboard.session_coordination.awaited_users is 'Those of them who have neither joined the present epoch nor left.';
comment on column switchboard.session_coordination.awaited_until is 'Until when the session counts as reconnecting.';
comment on column switchboard.session_coordination.last_provider_change is 'When the epoch was raised.';
comment on column switchboard.session_coordination.succeeded_epoch is 'The last epoch in which somebody connected.';
comment on column switchboard.session_coordination.empty_since is 'Since when nobody is present; null while somebody is.';
comment on column switchboard.session_coordination.quality is 'The last recommendation that was published, with the metrics behind it.';
comment on column switchboard.session_coordination.quality_version is 'Version of the subject session_quality.';
comment on column switchboard.session_coordination.version is 'Raised at each change of the session or of a participant''s state. 0 only inside the transaction that creates it.';
comment on column switchboard.session_coordination.created_at is 'When it was first named.';
comment on column switchboard.session_coordination.updated_at is 'When it last changed.';
comment on column switchboard.session_coordination.ended_at is 'When it ended; null again when it is chosen or entered anew.';

create index session_coordination_newest on switchboard.session_coordination (company_id, created_at, session_id);
comment on index switchboard.session_coordination_newest is 'The operators'' list.';

create index session_coordination_provider on switchboard.session_coordination (company_id, active_provider) where ended_at is null;
comment on index switchboard.session_coordination_provider is 'How many open sessions are on a provider.';

create index session_coordination_open on switchboard.session_coordination (company_id, created_at, session_id) where ended_at is null;
comment on index switchboard.session_coordination_open is 'The operators'' list of open sessions, and what a stream of the company begins with: without those that have ended, which are never deleted.';

create index session_coordination_awaiting on switchboard.session_coordination (awaited_until) where awaited_until is not null;
comment on index switchboard.session_coordination_awaiting is 'Reconnections that may have to be given up.';

create index session_coordination_empty on switchboard.session_coordination (empty_since) where ended_at is null and empty_since is not null;
comment on index switchboard.session_coordination_empty is 'Sessions that may have to end.';

create table switchboard.session_cooling (
    company_id uuid        not null,
    session_id text        not null,
    provider   text        not null,
    failed_at  timestamptz not null,
    primary key (company_id, session_id, provider),
    foreign key (company_id, session_id) references switchboard.session_coordination (company_id, session_id)
);
comment on table  switchboard.session_cooling is 'Providers that failed in a session. Written under the session''s lock.';
comment on column switchboard.session_cooling.company_id is 'The tenant.';
comment on column switchboard.session_cooling.session_id is 'The session that avoids it.';
comment on column switchboard.session_cooling.provider is 'What failed.';
comment on column switchboard.session_cooling.failed_at is 'When it failed last.';

create table switchboard.session_participant (
    company_id         uuid        not null,
    session_id         text        not null,
    user_id            text        not null check (length(user_id) between 1 and 200),
    user_name          text,
    connection_state   text        not null default 'INITIALIZING' check (connection_state in ('INITIALIZING', 'CONNECTING', 'CONNECTED', 'RECONNECTING', 'FAILED', 'ENDED')),
    current_provider   text        not null default 'none',
    joined_epoch       integer,
    was_connected      boolean     not null default false,
    is_audio_muted     boolean     not null default false,
    is_video_off       boolean     not null default false,
    device_info        jsonb       not null default '{}',
    reconnect_attempts integer     not null default 0,
    last_seen          timestamptz not null,
    inserted_at        timestamptz not null,
    primary key (company_id, session_id, user_id),
    foreign key (company_id, session_id) references switchboard.session_coordination (company_id, session_id)
) with (fillfactor = 70);
comment on table  switchboard.session_participant is 'Who is in a session, and in which state. Written under the session''s lock; heartbeats never touch it.';
comment on column switchboard.session_participant.company_id is 'The tenant.';
comment on column switchboard.session_participant.session_id is 'Where.';
comment on column switchboard.session_participant.user_id is 'Who; claim sub of the participant''s token.';
comment on column switchboard.session_participant.user_name is 'As shown to the others.';
comment on column switchboard.session_participant.connection_state is 'As the participant reported; RECONNECTING when it fell silent.';
comment on column switchboard.session_participant.current_provider is 'The provider that it last joined; ''none'' before.';
comment on column switchboard.session_participant.joined_epoch is 'The epoch that it last joined: moves only with a report that names the active provider.';
comment on column switchboard.session_participant.was_connected is 'It was CONNECTED at least once since it came.';
comment on column switchboard.session_participant.is_audio_muted is 'As the participant reported.';
comment on column switchboard.session_participant.is_video_off is 'As the participant reported.';
comment on column switchboard.session_participant.device_info is 'Carried, not interpreted but for the two flags; not shown to other participants.';
comment on column switchboard.session_participant.reconnect_attempts is 'How often it came back after it had fallen silent.';
comment on column switchboard.session_participant.last_seen is 'Its last report of a state.';
comment on column switchboard.session_participant.inserted_at is 'When it came.';

create table switchboard.session_health (
    company_id      uuid        not null,
    session_id      text        not null,
    user_id         text        not null,
    last_ping       timestamptz not null,
    status          text        not null check (status in ('CONNECTING', 'CONNECTED', 'RECONNECTING', 'DISCONNECTED', 'FAILED')),
    has_left        boolean     not null default false,
    sampled_at      timestamptz,
    sampled_epoch   integer,
    poor_samples    smallint    not null default 0,
    slow_samples    smallint    not null default 0,
    lossy_samples   smallint    not null default 0,
    latency         integer,
    packet_loss     real,
    jitter          integer,
    bandwidth       integer,
    score           real,
    video_quality   text,
    audio_quality   text,
    device_type     text,
    network_type    text,
    browser_info    text,
    connected_at    timestamptz,
    disconnected_at timestamptz,
    old_reports     integer     not null default 0,
    old_report      jsonb,
    primary key (company_id, session_id, user_id)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
comment on table  switchboard.session_health is 'When each participant was last heard, and how well it goes. Narrow, half empty and with no index but its key, so that a heartbeat changes a row in place. One row a participant, not one a sample. No foreign key: a heartbeat must not lock the session.';
comment on column switchboard.session_health.company_id is 'The tenant.';
comment on column switchboard.session_health.session_id is 'Where.';
comment on column switchboard.session_health.user_id is 'Who.';
comment on column switchboard.session_health.last_ping is 'The last news of any kind.';
comment on column switchboard.session_health.status is 'As reported. DISCONNECTED when silent or gone: only changes under the session''s lock lead into and out of it.';
comment on column switchboard.session_health.has_left is 'It said that it leaves: its silence is no news.';
comment on column switchboard.session_health.sampled_at is 'The last sample of quality.';
comment on column switchboard.session_health.sampled_epoch is 'The epoch that the samples for recovery belong to; null: of no known epoch.';
comment on column switchboard.session_health.poor_samples is 'One bit for each of the last five samples, the newest lowest: was it poor?';
comment on column switchboard.session_health.slow_samples is 'Likewise, of this epoch: was its latency a reason to switch?';
comment on column switchboard.session_health.lossy_samples is 'Likewise, of this epoch: was its packet loss a reason to switch?';
comment on column switchboard.session_health.latency is 'Round trip, in milliseconds.';
comment on column switchboard.session_health.packet_loss is 'In percent.';
comment on column switchboard.session_health.jitter is 'In milliseconds.';
comment on column switchboard.session_health.bandwidth is 'In kbit/s.';
comment on column switchboard.session_health.score is '0 to 100 by the E-model, smoothed: quickly down, slowly up. For display only.';
comment on column switchboard.session_health.video_quality is 'As reported, else by latency and loss.';
comment on column switchboard.session_health.audio_quality is 'As reported, else by latency and loss.';
comment on column switchboard.session_health.device_type is 'As reported.';
comment on column switchboard.session_health.network_type is 'As reported.';
comment on column switchboard.session_health.browser_info is 'As reported; text or an object as text.';
comment on column switchboard.session_health.connected_at is 'When it was first CONNECTED since it came or came back.';
comment on column switchboard.session_health.disconnected_at is 'When it was found silent, or left.';
comment on column switchboard.session_health.old_reports is 'Reports that carried an older epoch.';
comment on column switchboard.session_health.old_report is 'The last of them.';

create table switchboard.session_alert (
    company_id uuid        not null,
    alert_id   text        not null,
    session_id text        not null,
    type       text        not null check (type in ('STALE_CONNECTIONS', 'POOR_QUALITY', 'FAILED_CONNECTIONS')),
    severity   text        not null check (severity in ('INFO', 'WARNING', 'ERROR')),
    user_ids   text[]      not null,
    message    text        not null,
    version    integer     not null default 1,
    raised_at  timestamptz not null,
    cleared_at timestamptz,
    primary key (company_id, alert_id),
    foreign key (company_id, session_id) references switchboard.session_coordination (company_id, session_id)
);
comment on table  switchboard.session_alert is 'What is wrong with a session''s health, one row for each session and type. Written under the session''s lock. Kept after it cleared, so that versions go on when it is raised again.';
comment on column switchboard.session_alert.company_id is 'The tenant.';
comment on column switchboard.session_alert.alert_id is 'The session''s id, a colon, the type.';
comment on column switchboard.session_alert.session_id is 'Where.';
comment on column switchboard.session_alert.type is 'What.';
comment on column switchboard.session_alert.severity is 'ERROR from half of those present, else WARNING.';
comment on column switchboard.session_alert.user_ids is 'Whom it concerns.';
comment on column switchboard.session_alert.message is 'For people.';
comment on column switchboard.session_alert.version is 'Raised at each change.';
comment on column switchboard.session_alert.raised_at is 'When it was last raised.';
comment on column switchboard.session_alert.cleared_at is 'When it cleared; null while it holds.';

create index session_alert_open on switchboard.session_alert (company_id, session_id) where cleared_at is null;
comment on index switchboard.session_alert_open is 'What holds now.';

insert into switchboard.event_subject (subject_type, relation, id_column, id_type, version_column, names, scope_fields)
values
    ('session', 'session_coordination', 'session_id', 'text', 'version',
        '{companyId,sessionId,activeProvider,fallbackProvider,epoch,roomId,selectedBy,selectedAt,recoveryFrom,recoveryReason,lastProviderChange,reconnectionInProgress,version,createdAt,endedAt,changedUsers}',
        '{}'),
    ('session_quality', 'session_coordination', 'session_id', 'text', 'quality_version',
        '{companyId,sessionId,shouldRecover,recommendation,metrics,version}',
        '{}'),
    ('session_alert', 'session_alert', 'alert_id', 'text', 'version',
        '{companyId,id,sessionId,type,severity,userIds,message,version,raisedAt,clearedAt}',
        '{sessionId}'),
    ('session_provider', 'session_provider', 'name', 'text', 'version',
        '{companyId,name,rank,state,score,version}',
        '{}');
