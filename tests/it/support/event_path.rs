//! The event path of one server, with nothing around it: notifier, listener, reader and hub. Two of them on one
//! database are two servers.

use std::time::Duration;

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use switchboard::platform::{
    config::{DatabaseSettings, EventSettings},
    db,
    event::{Hub, LogNotifier, listener, notifier, reader},
    subscription::Sources,
};
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

/// Long enough for anything that is to happen at all on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Name of the sessions that a server's event path opens.
pub(crate) const SESSIONS: &str = "event path";

/// Settings of a server, with shorter times so that faults are noticed sooner.
pub(crate) fn settings() -> EventSettings {
    EventSettings {
        event_retention: Duration::from_hours(24),
        notify_every: Duration::from_millis(2),
        event_poll: Duration::from_millis(50),
        listener_probe: Duration::from_millis(400),
        subscription_queue: 256,
        read_memory: 16_777_216,
        replay_limit: 10_000,
    }
}

/// Options of a server's connection.
pub(crate) fn server_options(database: &PgConnectOptions) -> PgConnectOptions {
    let settings = DatabaseSettings {
        database_url: None,
        data_dir: None,
        database_connections: 8,
        database_acquire_timeout: PATIENCE,
        statement_timeout: PATIENCE,
        lock_timeout: PATIENCE,
        read_share: 2,
    };
    db::connection_options(database.clone(), &settings)
}

/// A pool as a server has it.
pub(crate) fn pool(database: &PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(8)
        .acquire_timeout(Duration::from_secs(5))
        .test_before_acquire(false)
        .connect_lazy_with(server_options(database))
}

/// A running event path; ends when dropped.
pub(crate) struct EventPath {
    /// Writers call it after each commit.
    pub(crate) notifier: LogNotifier,
    /// Routes events to subscriptions.
    pub(crate) hub: Hub,
    /// True while the log can be read.
    pub(crate) live: watch::Receiver<bool>,
    /// What subscriptions read from.
    pub(crate) sources: Sources,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl EventPath {
    /// With [`settings`].
    pub(crate) async fn start(database: &PgConnectOptions) -> Self {
        Self::start_with(database, settings()).await
    }

    /// Returns when the log has been read once.
    pub(crate) async fn start_with(database: &PgConnectOptions, settings: EventSettings) -> Self {
        let (notifier, hub, stop) =
            (LogNotifier::default(), Hub::new(settings.subscription_queue), CancellationToken::new());
        let options = server_options(database).application_name(SESSIONS);
        let (sender, live) = watch::channel(false);
        let sources = Sources { pool: pool(database), hub: hub.clone(), replay_limit: settings.replay_limit };
        let mut tasks = JoinSet::new();
        tasks.spawn(notifier::run(notifier.clone(), options.clone(), settings.notify_every, stop.clone()));
        tasks.spawn(listener::run(notifier.clone(), options.clone(), settings.clone(), stop.clone()));
        tasks.spawn(reader::run(hub.clone(), notifier.clone(), options, settings, sender, stop.clone()));
        let mut path = Self { notifier, hub, live, sources, stop, tasks };
        path.until_live(true).await;
        path
    }

    /// Waits until `live` has this value.
    pub(crate) async fn until_live(&mut self, live: bool) {
        timeout(PATIENCE, self.live.wait_for(|now| *now == live)).await.unwrap().unwrap();
    }

    /// Stops the tasks as a server does at shutdown.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        timeout(PATIENCE, async { while self.tasks.join_next().await.is_some() {} }).await.unwrap();
    }
}

impl Drop for EventPath {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
