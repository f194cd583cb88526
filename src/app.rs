//! Wiring only: builds everything that runs in one server from the settings, starts it and stops it.
//!
//! ```text
//! pool ── services ── schema ── engine ── http ── clients
//!   │        └ notifier, waker
//!   └── background tasks: notifier, listener, reader ─► hub ─► subscriptions
//!                         scheduler (timers), service (stamps), retention (log), authenticator (JWKS, revoked keys)
//! ```
//!
//! A server stops in this order: the transports drain, the background tasks end, the pool closes. A background task
//! that fails starts the same drain, and [`App::stopped`] then returns the failure.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use listenfd::ListenFd;
use sqlx::postgres::PgConnectOptions;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    audit::graphql::RequestStart,
    chat::website::{WebsiteOrigins, WebsiteVisitors},
    concepts::{self, Services},
    demo,
    platform::{
        auth::{Authenticator, Credential, Principal, Role, api_key},
        clock::{self, Clock},
        config::EventSettings,
        db,
        error::{Error, Result},
        event::{Hub, LogNotifier, listener, notifier, reader, retention},
        graphql::engine::Engine,
        http::{self, HttpState, Readiness, Shutdown},
        idempotency,
        service::Service,
        subscription::{ReadGate, Sources, bookmark::Bookmarks},
        task::{Supervisor, Task},
        timer::{self, TimerWaker, scheduler::Scheduler},
        unit::UnitOfWork,
    },
    router::{Routers, routers_with},
    settings::Settings,
};

/// Longest wait for the background tasks to end and the pool to close.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// A running server. Dropped, it stops its background tasks but not its transports; use [`App::stopped`].
pub struct App {
    /// The address that it listens on; its port is chosen by the system where the settings say 0.
    pub address: SocketAddr,
    /// The address of the listener for metrics and health, if they have one of their own.
    pub metrics_address: Option<SocketAddr>,
    /// Stops the server: `drain` first, `now` if that takes too long.
    pub shutdown: Shutdown,
    /// Wakes the scheduler; for tests that moved the database's clock.
    pub waker: TimerWaker,
    /// The clock of the authenticator and of `/api/time`; tests move it.
    pub clock: Clock,
    /// True while the reader can read the event log.
    pub live: watch::Receiver<bool>,
    /// The background tasks; tests abort one of them.
    pub tasks: Supervisor,
    serving: JoinHandle<usize>,
    /// Serves metrics and health until this value is dropped, so also during the drain.
    internal_serving: Option<AbortOnDropHandle<io::Result<()>>>,
    pools: db::Pools,
}

impl App {
    /// Starts a server on a migrated database; `secret` signs and verifies HS256 tokens. Returns when it listens and
    /// reads the event log.
    pub async fn start(mut settings: Settings, database: PgConnectOptions, secret: Option<String>) -> Result<Self> {
        check(&settings)?;
        let development = settings.auth.dev;
        http::fit_descriptors(&mut settings.http, settings.database.database_connections);
        let options = db::connection_options(database, &settings.database);
        let pools = db::Pools::new(&options, &settings.database);
        let pool = pools.requests.clone();
        let clock = Clock::default();
        let (notifier, waker) = (LogNotifier::default(), TimerWaker::default());
        let hub = Hub::new(settings.event.subscription_queue);
        let demo_service = development.then(|| Arc::new(demo_service()));
        let authenticator =
            Authenticator::new(&settings.auth, secret, pool.clone(), clock.clone(), demo_service).await?;
        let work = UnitOfWork::new(pools.clone(), notifier.clone(), waker.clone());
        let (mut timers, mut timers_for_people) = (Vec::new(), Vec::new());
        for concept in concepts::all(&settings) {
            timers.extend(concept.timers);
            timers_for_people.extend(concept.timers_for_people);
        }
        let (last_read, last_timers) = (notifier.last_read().clone(), waker.last_look().clone());
        let mut background = concepts::tasks(&work, &settings);
        let scheduler = Scheduler::new(work.clone(), waker.clone(), timers);

        let shutdown = Shutdown::default();
        let (set_live, mut live) = watch::channel(false);
        background.extend(event_tasks(&settings.event, &options, &notifier, &hub, set_live));
        let (set_days, mut days) = watch::channel(false);
        background.push({
            let (options, retention) = (options.clone(), settings.event.event_retention);
            Task::new("retention", move |stop| retention::run(options, retention, set_days, stop))
        });
        let server_id = clock::new_id();
        let service = Service::new(options.clone(), server_id, settings.timer.resume_grace, timers_for_people);
        let in_service = service.in_service();
        background.push(Task::new("service", |stop| service.run(stop)));
        background.push({
            let (authenticator, revocations) = (authenticator.clone(), hub.subscribe_all_companies(api_key::SUBJECT));
            Task::new("authenticator", |stop| authenticator.run(revocations, stop))
        });
        let scheduler = scheduler.only_while(in_service);
        background.push(Task::new("scheduler", move |stop| scheduler.run(settings.timer.timer_poll, stop)));
        background.push({
            let (waker, options) = (waker.clone(), options.clone());
            Task::new("timer listener", move |stop| timer::listener::run(waker, options, stop))
        });
        background.push({
            let (work, retention) = (work.clone(), settings.database.idempotency_retention);
            Task::new("idempotency", move |stop| idempotency::run(work, retention, stop))
        });
        let bookmarks = Bookmarks::new(pool.clone(), server_id);
        background.push(bookmarks.task());
        let tasks = Supervisor::start(background, shutdown.drain.clone());

        let (replay_limit, gate) = (settings.event.replay_limit, ReadGate::new(&settings.event, &pool));
        let sources = Sources { pool: pool.clone(), hub: hub.clone(), replay_limit, gate };
        let services =
            Services::new(&work, &settings, sources, authenticator.clone(), server_id, shutdown.drain.clone());
        let rest = services.routes();
        let engine = Engine::new(
            || services.schema(),
            &settings.guard,
            move |request| request.data(RequestStart::note(&hub)).data(bookmarks.clone()),
        );
        let state = HttpState {
            engine,
            authenticator,
            origin_policy: Some(Arc::new(WebsiteOrigins::new(pool.clone()))),
            visitors: Some(Arc::new(WebsiteVisitors::new(work.clone()))),
            settings: Arc::new(settings.http.clone()),
            readiness: Readiness {
                database: pool.clone(),
                listener: live.clone(),
                last_read,
                last_timers,
                max_age: settings.http.ready_age.max(2 * settings.timer.timer_poll.max(settings.event.event_poll)),
                tasks: tasks.failure(),
                draining: shutdown.drain.clone(),
            },
            shutdown: shutdown.clone(),
            clock: clock.clone(),
            development,
        };
        // A subscription that begins before the reader does would begin with a resync. A request that writes before the
        // log has a partition for today would fail.
        let log_works =
            async { tokio::join!(live.wait_for(|live| *live).map(drop), days.wait_for(|days| *days).map(drop)) };
        if tokio::time::timeout(settings.database.database_acquire_timeout, log_works).await.is_err() {
            tracing::warn!("the event log cannot be read or written yet; starting all the same");
        }
        let mut passed = ListenFd::from_env();
        let (listener, address) = listen(&mut passed, "SWITCHBOARD_LISTEN", settings.http.listen).await?;
        let Routers { public, internal } = routers_with(state, rest);
        let (mut metrics_address, mut internal_serving) = (None, None);
        if let (Some(router), Some(wanted)) = (internal, settings.http.metrics_listen) {
            let (listener, address) = listen(&mut passed, "SWITCHBOARD_METRICS_LISTEN", wanted).await?;
            metrics_address = Some(address);
            internal_serving = Some(AbortOnDropHandle::new(tokio::spawn(axum::serve(listener, router).into_future())));
        }
        let serving = {
            let (settings, shutdown) = (settings.http, shutdown.clone());
            tokio::spawn(async move { http::serve(listener, public, &settings, shutdown).await })
        };
        Ok(Self { address, metrics_address, shutdown, waker, clock, live, tasks, serving, internal_serving, pools })
    }

    /// Waits until the server has stopped, because of its [`Shutdown`] or of a failed background task. Returns how many
    /// connections were dropped because they did not finish in time.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` when a background task or the accept loop failed: the process must exit with a code that
    /// makes its supervisor start it again.
    pub async fn stopped(mut self) -> Result<usize> {
        let served = self.serving.await;
        let closed = async {
            // A failure is in the watch below, also when this does not finish in time.
            let _ = self.tasks.stop().await;
            self.pools.close().await;
        };
        // A dropped request's statement may still wait for a lock, and its connection cannot be closed before. Postgres
        // rolls it back when the process is gone.
        tokio::select! {
            () = closed => {}
            () = self.shutdown.now.cancelled() => {}
            () = tokio::time::sleep(CLOSE_TIME) => {}
        }
        drop(self.internal_serving);
        let failure = self.tasks.failure().borrow().clone();
        match failure {
            Some(failure) => Err(Error::internal(failure)),
            None => served.map_err(Error::internal),
        }
    }
}

/// Refuses settings that are each within their bounds but not together.
fn check(settings: &Settings) -> Result<()> {
    let listen = settings.http.listen;
    if settings.auth.dev && !listen.ip().is_loopback() {
        return Err(Error::invalid(
            "SWITCHBOARD_DEV",
            format!("development mode lets anonymous callers in, so it needs a loopback address, not {listen}"),
        ));
    }
    settings.operation.check(settings.guard.execution_timeout)
}

/// Listens on the next socket that the process was started with (`LISTEN_FDS`), else on `address`, which the setting of this
/// name gives. A socket that was passed stays open between two servers: connections wait in it, and none is refused.
async fn listen(passed: &mut ListenFd, setting: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let refused = |error| Error::invalid(setting, format!("cannot listen on {address}: {error}"));
    let next = (0..passed.len()).find_map(|place| passed.take_tcp_listener(place).transpose());
    let listener = match next.transpose() {
        Ok(None) => TcpListener::bind(address).await.map_err(refused)?,
        Ok(Some(listener)) => {
            listener.set_nonblocking(true).map_err(Error::internal)?;
            TcpListener::from_std(listener).map_err(Error::internal)?
        }
        Err(error) => return Err(Error::invalid("LISTEN_FDS", format!("needs TCP sockets that listen: {error}"))),
    };
    let address = listener.local_addr().map_err(Error::internal)?;
    Ok((listener, address))
}

/// The tasks between the event log and the subscriptions.
fn event_tasks(
    settings: &EventSettings,
    options: &PgConnectOptions,
    notifier: &LogNotifier,
    hub: &Hub,
    live: watch::Sender<bool>,
) -> Vec<Task> {
    let mut tasks = Vec::new();
    tasks.push({
        let (notifier, options, notify_every) = (notifier.clone(), options.clone(), settings.notify_every);
        Task::new("notifier", move |stop| notifier::run(notifier, options, notify_every, stop))
    });
    tasks.push({
        let (notifier, options, settings) = (notifier.clone(), options.clone(), settings.clone());
        Task::new("listener", |stop| listener::run(notifier, options, settings, stop))
    });
    tasks.push({
        let (hub, notifier, options, settings) = (hub.clone(), notifier.clone(), options.clone(), settings.clone());
        Task::new("reader", |stop| reader::run(hub, notifier, options, settings, live, stop))
    });
    tasks
}

/// The principal of anonymous callers in development mode.
fn demo_service() -> Principal {
    Principal {
        company_id: demo::COMPANY_ID,
        role: Role::Service,
        subject: "development".to_owned(),
        earlier: None,
        website_id: None,
        agent_id: None,
        session_id: None,
        expires_at: None,
        credential: Credential::Development,
    }
}
