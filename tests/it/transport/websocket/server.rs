//! A server of WebSockets only, over a schema whose streams the test controls.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_graphql::{Context, EmptyMutation, Object, Schema, Subscription};
use axum::{Router, routing::any};
use clap::{Args, Command};
use futures_util::{FutureExt, future::BoxFuture, stream};
use switchboard::platform::{
    auth::{Caller, Credential, Principal, Role},
    config::{GuardSettings, HttpSettings},
    graphql::{
        engine::Engine,
        source::{self, Root, SourceRegistered},
    },
    http::websocket::{Authentication, SocketState, upgrade},
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::support::socket::Socket;

pub(super) const TRANSPORT: &str = "graphql-transport-ws";
pub(super) const LEGACY: &str = "graphql-ws";

/// Shows the test which streams are open, and lets the test release them.
#[derive(Clone)]
pub(super) struct Probe {
    /// The number of open streams and queries.
    alive: watch::Sender<usize>,
    /// Permits that `gated` and `slow` wait for.
    pub(super) gate: Arc<Semaphore>,
    /// Expires the credential "known".
    pub(super) expired: CancellationToken,
}

impl Probe {
    /// Waits until `count` streams and queries are open.
    pub(super) async fn alive(&self, count: usize) {
        let mut alive = self.alive.subscribe();
        let waited = timeout(Duration::from_secs(10), alive.wait_for(|alive| *alive == count)).await;
        assert!(waited.is_ok(), "{count} streams alive in time, not {}", *self.alive.borrow());
    }

    fn track(&self) -> Alive {
        self.alive.send_modify(|alive| *alive += 1);
        Alive(self.alive.clone())
    }
}

struct Alive(watch::Sender<usize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.send_modify(|alive| *alive -= 1);
    }
}

struct Query(Probe);

#[Object]
impl Query {
    async fn hello(&self, name: Option<String>) -> String {
        format!("hello {}", name.unwrap_or_default())
    }

    async fn slow(&self) -> bool {
        let _alive = self.0.track();
        self.0.gate.acquire().await.unwrap().forget();
        true
    }
}

struct Subscriptions(Probe);

#[Subscription]
impl Subscriptions {
    async fn ticks(&self, context: &Context<'_>, count: i32) -> SourceRegistered<i32> {
        source::own(context, stream::iter((0..count).map(Ok)))
    }

    async fn gated(&self, context: &Context<'_>) -> SourceRegistered<i32> {
        let (alive, gate) = (self.0.track(), Arc::clone(&self.0.gate));
        let numbers = stream::unfold(0, move |n| {
            let (_, gate) = (&alive, Arc::clone(&gate));
            async move {
                gate.acquire().await.unwrap().forget();
                Some((Ok(n), n + 1))
            }
        });
        source::own(context, numbers)
    }

    async fn flood(&self, context: &Context<'_>, bytes: usize) -> SourceRegistered<String> {
        let alive = self.0.track();
        let texts = stream::repeat_with(move || {
            let _ = &alive;
            Ok("x".repeat(bytes))
        });
        source::own(context, texts)
    }

    async fn panics(&self, context: &Context<'_>) -> SourceRegistered<i32> {
        source::own(context, stream::poll_fn(|_| panic!("on purpose")))
    }
}

/// Accepts the credential "known" until the test expires it.
struct TestAuthentication(CancellationToken);

impl Authentication for TestAuthentication {
    fn caller(&self, bearer: Option<String>) -> BoxFuture<'static, Caller> {
        async move {
            match bearer.as_deref() {
                None => Caller::Anonymous,
                Some("known") => Caller::Known(Arc::new(Principal {
                    company_id: uuid::Uuid::nil(),
                    role: Role::Service,
                    subject: "test".into(),
                    earlier: None,
                    website_id: None,
                    agent_id: None,
                    session_id: None,
                    expires_at: None,
                    credential: Credential::Token,
                })),
                Some("unchecked") => Caller::Unavailable("no database".into()),
                Some("undecided") => std::future::pending().await,
                Some(_) => Caller::Refused("the token is not valid".into()),
            }
        }
        .boxed()
    }

    fn expired(&self, _: Arc<Principal>) -> BoxFuture<'static, String> {
        let expired = self.0.clone();
        async move {
            expired.cancelled().await;
            "token expired".into()
        }
        .boxed()
    }
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) probe: Probe,
    pub(super) drain: CancellationToken,
    state: Arc<SocketState>,
    tasks: TaskTracker,
}

impl Server {
    /// Serves with the default settings.
    pub(super) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Waits for the end of every socket's task.
    pub(super) async fn all_closed(&self) {
        self.tasks.close();
        timeout(Duration::from_secs(10), self.tasks.wait()).await.expect("all sockets are closed");
        assert_eq!(self.state.open(), 0);
    }

    /// Serves with these flags.
    pub(super) async fn with(flags: &[&str]) -> Self {
        let settings = Arc::new(read::<HttpSettings>(flags));
        let probe = Probe {
            alive: watch::Sender::new(0),
            gate: Arc::new(Semaphore::new(0)),
            expired: CancellationToken::new(),
        };
        let (drain, now, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let schema = || Schema::build(Root(Query(probe.clone())), EmptyMutation, Subscriptions(probe.clone()));
        let engine = Engine::new(schema, &read::<GuardSettings>(&[]), |request| request);
        let authentication = Arc::new(TestAuthentication(probe.expired.clone()));
        let state = Arc::new(SocketState::new(engine, authentication, settings, [drain.clone(), now], tasks.clone()));
        let router = Router::new().route("/graphql", any(upgrade)).with_state(Arc::clone(&state));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, probe, drain, state, tasks }
    }

    /// A `graphql-transport-ws` socket after `connection_ack`.
    pub(super) async fn ready(&self) -> Socket {
        let mut socket = Socket::speaking(self.address, TRANSPORT).await;
        socket.send(r#"{"type":"connection_init","payload":{"authToken":"known"}}"#).await;
        assert_eq!(socket.next().await["type"], "connection_ack");
        socket
    }
}

fn read<S: Args>(flags: &[&str]) -> S {
    let matches = S::augment_args(Command::new("test").no_binary_name(true)).get_matches_from(flags);
    S::from_arg_matches(&matches).unwrap()
}

/// A `subscribe` message.
pub(super) fn subscribe(id: &str, query: &str) -> serde_json::Value {
    serde_json::json!({ "id": id, "type": "subscribe", "payload": { "query": query } })
}
