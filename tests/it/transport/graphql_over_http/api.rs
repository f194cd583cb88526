//! A running server over a small schema, and its responses.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_graphql::{Context, Object, Schema, Subscription};
use clap::Parser;
use futures_util::stream;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use switchboard::{
    platform::{
        auth::{
            Authenticator, Caller, Credential, Principal, Role, install_tls_provider,
            token::{Claims, TokenIssuer},
        },
        clock::Clock,
        config::GuardSettings,
        error::{Code, Error, Result},
        graphql::{
            engine::Engine,
            source::{self, Root, SourceRegistered},
        },
        http::{HttpState, Readiness, Shutdown, serve},
        task::{Failure, LastLook},
    },
    router::routers,
};
use time::Duration;
use tokio::{net::TcpListener, sync::watch};
use uuid::Uuid;

use crate::{
    support::{app, cluster::TestDatabase},
    transport::http_server::settings,
};

const SECRET: &str = "not a secret, 32 bytes at least.";
pub(super) const JSON: &str = "application/json";
pub(super) const GRAPHQL: &str = "application/graphql-response+json";

struct Query;

#[Object]
impl Query {
    async fn hello(&self, #[graphql(default)] times: i32) -> String {
        "hello ".repeat(usize::try_from(times).unwrap_or(0)).trim_end().to_owned()
    }

    async fn who(&self, context: &Context<'_>) -> Result<String> {
        Ok(context.data_unchecked::<Caller>().principal()?.subject.clone())
    }

    /// For anonymous callers null, with an error.
    async fn perhaps(&self, context: &Context<'_>) -> Option<String> {
        let principal = context.data_unchecked::<Caller>().principal();
        let error = |error| context.add_error(async_graphql::Error::from(error).into_server_error(context.item.pos));
        principal.map_err(error).ok().map(|principal| principal.subject.clone())
    }

    async fn away(&self) -> Result<bool> {
        Err(Error::unavailable("the database's secret address"))
    }

    async fn limited(&self) -> Result<bool> {
        Err(Error::new(Code::RateLimited, "slower"))
    }

    async fn broken(&self) -> Result<bool> {
        Err(Error::internal("a secret of the inside"))
    }
}

struct Mutation(Arc<AtomicUsize>);

#[Object]
impl Mutation {
    async fn touch(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    async fn consumer_login(&self) -> &'static str {
        "a token"
    }
}

struct Subscriptions;

#[Subscription]
impl Subscriptions {
    async fn ticks(&self, context: &Context<'_>) -> SourceRegistered<i32> {
        source::own(context, stream::iter((0..3).map(Ok)))
    }
}

#[derive(Parser)]
struct Guard {
    #[command(flatten)]
    guard: GuardSettings,
}

/// A running server.
pub(super) struct Api {
    pub(super) origin: String,
    client: reqwest::Client,
    /// The number of mutations that ran.
    touched: Arc<AtomicUsize>,
    pub(super) listener: watch::Sender<bool>,
    pub(super) tasks: watch::Sender<Option<Failure>>,
    pub(super) shutdown: Shutdown,
    pub(super) database: TestDatabase,
}

impl Api {
    pub(super) async fn start(flags: &[&str]) -> Self {
        Self::start_in(flags, false).await
    }

    pub(super) async fn start_in(flags: &[&str], development: bool) -> Self {
        install_tls_provider();
        let database = TestDatabase::create().await;
        let pool = PgPoolOptions::new().connect_with(database.options()).await.unwrap();
        let touched = Arc::new(AtomicUsize::new(0));
        let schema = || Schema::build(Root(Query), Mutation(Arc::clone(&touched)), Subscriptions);
        let engine = Engine::new(schema, &Guard::parse_from(["test"]).guard, |request| request);
        let anybody = development.then(|| Arc::new(demo_service()));
        let secret = Some(SECRET.to_owned());
        let authenticator =
            Authenticator::new(&app::settings(&[]).auth, secret, pool.clone(), Clock::default(), anybody)
                .await
                .unwrap();
        let settings = Arc::new(settings(flags));
        let shutdown = Shutdown::default();
        let ((listener, listens), (tasks, failure)) = (watch::channel(true), watch::channel(None));
        let routers = routers(HttpState {
            engine,
            authenticator,
            settings: Arc::clone(&settings),
            origin_policy: None,
            visitors: None,
            readiness: Readiness {
                database: pool,
                listener: listens,
                last_read: LastLook::default(),
                last_timers: LastLook::default(),
                max_age: std::time::Duration::from_mins(1),
                tasks: failure,
                draining: shutdown.drain.clone(),
            },
            shutdown: shutdown.clone(),
            clock: Clock::default(),
            development,
        });
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", socket.local_addr().unwrap());
        let stop = shutdown.clone();
        tokio::spawn(async move { serve(socket, routers.public, &settings, stop).await });
        Self { origin, client: reqwest::Client::new(), touched, listener, tasks, shutdown, database }
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.origin))
    }

    pub(super) fn post(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.request(Method::POST, "/graphql").header("content-type", JSON).body(body)
    }

    pub(super) fn query(&self, query: &str) -> RequestBuilder {
        self.post(json!({ "query": query }).to_string())
    }

    pub(super) fn get(&self, query: &str) -> RequestBuilder {
        self.request(Method::GET, &format!("/graphql?query={}", escaped(query)))
    }

    pub(super) fn touched(&self) -> usize {
        self.touched.load(Ordering::SeqCst)
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.shutdown.now.cancel();
    }
}

pub(super) fn escaped(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// A response whose body has been read.
pub(super) struct HttpResponse {
    pub(super) status: u16,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) text: String,
}

impl HttpResponse {
    pub(super) async fn of(request: RequestBuilder) -> Self {
        let response: Response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// The code of the first error.
    pub(super) fn code(&self) -> String {
        self.json()["errors"][0]["extensions"]["code"].as_str().unwrap_or("").to_owned()
    }
}

/// The principal of anonymous callers in development mode.
fn demo_service() -> Principal {
    Principal {
        company_id: Uuid::now_v7(),
        role: Role::Service,
        subject: "development".into(),
        earlier: None,
        website_id: None,
        agent_id: None,
        session_id: None,
        expires_at: None,
        credential: Credential::Development,
    }
}

/// A visitor's token, valid for an hour, issued `age` ago.
pub(super) fn token(company_id: Uuid, age: Duration) -> String {
    let clock = Clock::default();
    clock.advance(-age);
    let claims = Claims::consumer(company_id, Uuid::now_v7(), Uuid::now_v7());
    TokenIssuer::new(SECRET, clock).unwrap().issue(&claims, std::time::Duration::from_hours(1)).unwrap()
}
