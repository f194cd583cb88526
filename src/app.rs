//! Wiring only: everything that runs in one server, built from the settings, running until stopped.
//!
//! ```text
//! pool ── services ── schema ── engine ── http ── clients
//!   │        └ bell, alarm ┐                │
//!   └── background: notifier, listener, reader ─► hub ─► subscriptions
//!                   scheduler (timers), retention (log), authenticator (JWKS, revoked keys)
//! ```

use std::{net::SocketAddr, sync::Arc, time::Duration};

use sqlx::{PgPool, postgres::PgConnectOptions};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    audit::graphql::RequestStart,
    chat::{
        Chats,
        race::{CapTimer, MissTimer},
        website::WebsiteOrigins,
    },
    demo,
    platform::{
        auth::{Authenticator, Credential, Principal, Role, api_key},
        clock::Clock,
        config::Settings,
        db,
        error::{Error, Result},
        event::{self, Bell, Hub},
        graphql::engine::Engine,
        http::{self, HttpState, Readiness, Shutdown},
        subscription::Sources,
        timer::{Alarm, scheduler::Scheduler},
    },
    router::router,
    schema,
};

/// Connections to the database get this long to be closed in an orderly way at the end.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// A running server.
pub struct App {
    /// Where it listens.
    pub address: SocketAddr,
    /// How to stop it: `drain` first, `now` if that takes too long.
    pub shutdown: Shutdown,
    /// Wakes its timers; for tests that moved the database's clock.
    pub alarm: Alarm,
    /// Its clock; for tests.
    pub clock: Clock,
    /// Whether it reads the event log.
    pub live: watch::Receiver<bool>,
    serving: JoinHandle<usize>,
    background: TaskTracker,
    stop_background: CancellationToken,
    pool: PgPool,
}

impl App {
    /// Starts a server on a migrated database; `secret` signs and verifies HS256 tokens. Returns when it listens and
    /// reads the event log.
    pub async fn start(settings: Settings, database: PgConnectOptions, secret: Option<String>) -> Result<Self> {
        let development = settings.auth.dev;
        if development && !settings.http.listen.ip().is_loopback() {
            return Err(Error::invalid(
                "SWITCHBOARD_DEV",
                format!(
                    "development mode lets anonymous callers in, so it needs a loopback address, not {}",
                    settings.http.listen
                ),
            ));
        }
        let options = db::connection_options(database, &settings.database);
        let pool = db::pool(options.clone(), &settings.database);
        let clock = Clock::default();
        let (bell, alarm) = (Bell::default(), Alarm::default());
        let hub = Hub::new(settings.event.subscription_queue);
        let demo_service = development.then(|| Arc::new(demo_service()));
        let authenticator =
            Authenticator::new(&settings.auth, secret, pool.clone(), clock.clone(), demo_service).await?;

        let stop_background = CancellationToken::new();
        let background = TaskTracker::new();
        let (set_live, mut live) = watch::channel(false);
        let stop = || stop_background.clone();
        background.spawn(event::notifier::run(bell.clone(), options.clone(), settings.event.notify_every, stop()));
        background.spawn(event::listener::listen(bell.clone(), options.clone(), settings.event.clone(), stop()));
        background.spawn(event::listener::read(
            hub.clone(),
            bell.clone(),
            options.clone(),
            settings.event.clone(),
            set_live,
            stop(),
        ));
        background.spawn(event::retention::run(options, settings.event.event_retention, stop()));
        background.spawn(authenticator.clone().run(hub.tap(api_key::SUBJECT), stop()));

        let chats = Chats::new(pool.clone(), bell.clone(), alarm.clone(), settings.chat.clone());
        let scheduler =
            Scheduler::new(pool.clone(), bell, alarm.clone(), vec![Arc::new(MissTimer), Arc::new(CapTimer)]);
        background.spawn(scheduler.run(settings.timer.timer_poll, stop()));

        let sources = Sources { pool: pool.clone(), hub: hub.clone(), replay_limit: settings.event.replay_limit };
        let engine = Engine::new(
            || schema::schema(&sources, &chats, &authenticator),
            &settings.guard,
            move |request| request.data(RequestStart::note(&hub)),
        );
        let shutdown = Shutdown::default();
        let state = HttpState {
            engine,
            authenticator,
            settings: Arc::new(settings.http.clone()),
            origin_policy: Some(Arc::new(WebsiteOrigins::new(pool.clone()))),
            readiness: Readiness { database: pool.clone(), listener: live.clone(), draining: shutdown.drain.clone() },
            shutdown: shutdown.clone(),
            clock: clock.clone(),
            development,
        };
        // A subscription that begins before the reader does would begin with a resync.
        let reading = tokio::time::timeout(settings.database.database_acquire_timeout, live.wait_for(|live| *live));
        if reading.await.is_err() {
            tracing::warn!("the event log cannot be read yet; starting all the same");
        }
        let listener = TcpListener::bind(settings.http.listen).await.map_err(|error| {
            Error::invalid("SWITCHBOARD_LISTEN", format!("cannot listen on {}: {error}", settings.http.listen))
        })?;
        let address = listener.local_addr().map_err(Error::internal)?;
        let serving = {
            let (settings, shutdown) = (settings.http, shutdown.clone());
            tokio::spawn(async move { http::serve(listener, router(state), &settings, shutdown).await })
        };
        Ok(Self { address, shutdown, alarm, clock, live, serving, background, stop_background, pool })
    }

    /// Waits for the server to stop, as its [`Shutdown`] demands; answers how many connections had to be dropped.
    pub async fn stopped(self) -> usize {
        let dropped = self.serving.await.unwrap_or_default();
        self.stop_background.cancel();
        self.background.close();
        let closed = async {
            self.background.wait().await;
            self.pool.close().await;
        };
        // A statement of a request that was dropped may wait for a lock still, and its connection with it: Postgres
        // rolls it back when the process is gone.
        tokio::select! {
            () = closed => {}
            () = self.shutdown.now.cancelled() => {}
            () = tokio::time::sleep(CLOSE_TIME) => {}
        }
        dropped
    }
}

/// Whom anonymous callers act as in development mode.
fn demo_service() -> Principal {
    Principal {
        company_id: demo::COMPANY_ID,
        role: Role::Service,
        subject: "development".to_owned(),
        website_id: None,
        agent_id: None,
        session_id: None,
        expires_at: None,
        credential: Credential::Development,
    }
}
