//! The whole server in this process, as many of it as a test wants on one database, and clients for it.

use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};
use switchboard::{
    app::App,
    auth::token::{self, Claims},
    config::Settings,
    demo,
};
use uuid::Uuid;

use super::{cluster::TestDatabase, socket::Socket};

/// Signs the tests' tokens.
pub(crate) const SECRET: &str = "a secret of the tests, over 32 bytes long";
/// A token's life in tests that are not about it.
const HOUR: Duration = Duration::from_secs(3_600);

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

/// The settings as the command line would give them, listening on a free port.
pub(crate) fn settings(flags: &[&str]) -> Settings {
    Flags::parse_from(["test", "--listen", "127.0.0.1:0"].iter().chain(flags)).settings
}

/// A database with the demo company, and the servers on it.
pub(crate) struct TestApp {
    pub(crate) database: TestDatabase,
}

impl TestApp {
    /// A new database; no server yet.
    pub(crate) async fn new() -> Self {
        let app = Self { database: TestDatabase::create().await };
        let pool = sqlx::PgPool::connect_with(app.database.options()).await.unwrap();
        demo::seed(&pool).await.unwrap();
        pool.close().await;
        app
    }

    /// Starts a server on it.
    pub(crate) async fn node(&self) -> Node {
        self.node_with(&[]).await
    }

    /// Starts a server with these flags.
    pub(crate) async fn node_with(&self, flags: &[&str]) -> Node {
        Node::start(self.database.options(), flags).await
    }

    /// A connection past all servers.
    pub(crate) async fn sql(&self) -> PgConnection {
        PgConnection::connect_with(&self.database.options()).await.unwrap()
    }

    /// Moves the database's clock for everybody; servers see it at their next look.
    pub(crate) async fn advance(&self, seconds: i64) {
        let statement = format!(
            "create or replace function switchboard.now() returns timestamptz language sql volatile parallel safe
             return clock_timestamp() + interval '{seconds} seconds'"
        );
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut self.sql().await).await.unwrap();
    }
}

/// A running server and how to call it.
pub(crate) struct Node {
    pub(crate) app: App,
    client: reqwest::Client,
}

impl Node {
    /// Starts a server on the database at `options`, with the tests' secret.
    pub(crate) async fn start(options: PgConnectOptions, flags: &[&str]) -> Self {
        // The server's and the test client's; the command installs it before anything else.
        switchboard::auth::install_tls_provider();
        let started = App::start(settings(flags), options, Some(SECRET.to_owned())).await;
        Self { app: started.unwrap_or_else(|error| panic!("{}", error.chain())), client: reqwest::Client::new() }
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.app.address)
    }

    /// A plain GET.
    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    /// Runs a query or mutation; the whole answer.
    pub(crate) async fn run(&self, token: &str, document: &str, variables: Value) -> Value {
        let mut request = self.client.post(self.url("/graphql")).header("accept", "application/graphql-response+json");
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        let body = json!({ "query": document, "variables": variables });
        request.json(&body).send().await.unwrap().json().await.unwrap()
    }

    /// Runs what must succeed; its data.
    pub(crate) async fn data(&self, token: &str, document: &str, variables: Value) -> Value {
        let mut answer = self.run(token, document, variables).await;
        assert!(answer.get("errors").is_none(), "{document}: {answer}");
        answer["data"].take()
    }

    /// Runs what must fail; its code.
    pub(crate) async fn code(&self, token: &str, document: &str, variables: Value) -> String {
        let answer = self.run(token, document, variables).await;
        let code = answer["errors"][0]["extensions"]["code"].as_str();
        code.unwrap_or_else(|| panic!("{document}: no error but {answer}")).to_owned()
    }

    /// Opens a subscription on a socket of its own.
    pub(crate) async fn subscribe(&self, token: &str, document: &str, variables: Value) -> Subscription {
        let mut socket = Socket::speaking(self.app.address, "graphql-transport-ws").await;
        let payload = if token.is_empty() { json!({}) } else { json!({ "authToken": token }) };
        socket.send(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(socket.next().await["type"], "connection_ack");
        let payload = json!({ "query": document, "variables": variables });
        socket.send(json!({ "type": "subscribe", "id": "1", "payload": payload })).await;
        Subscription { socket }
    }

    /// Stops it as a deployment would.
    pub(crate) async fn stop(self) {
        self.app.shutdown.drain.cancel();
        self.app.stopped().await;
    }
}

/// One subscription on one socket.
pub(crate) struct Subscription {
    pub(crate) socket: Socket,
}

impl Subscription {
    /// The next message's payload.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            let mut message = self.socket.next().await;
            match message["type"].as_str() {
                Some("next") => return message["payload"].take(),
                Some("ping") => self.socket.send(json!({ "type": "pong" })).await,
                _ => panic!("instead of a next: {message}"),
            }
        }
    }

    /// The next event of the root field `field`: `{operation, record, cursor, resync}`.
    pub(crate) async fn event(&mut self, field: &str) -> Value {
        let mut payload = self.next().await;
        assert!(payload.get("errors").is_none(), "{payload}");
        payload["data"][field].take()
    }

    /// Reads events of `field` until one is `wanted`; all of them.
    pub(crate) async fn until(&mut self, field: &str, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            events.push(self.event(field).await);
            if events.last().is_some_and(&wanted) {
                return events;
            }
        }
    }
}

/// A token of the demo company's service.
pub(crate) fn service() -> String {
    token::issue(SECRET, &Claims::service(demo::COMPANY_ID, "backend"), HOUR).unwrap()
}

/// A token of a service of another company.
pub(crate) fn service_of(company_id: Uuid) -> String {
    token::issue(SECRET, &Claims::service(company_id, "backend"), HOUR).unwrap()
}

/// A token of an agent of the demo company.
pub(crate) fn agent(agent_id: Uuid) -> String {
    let claims = Claims {
        role: switchboard::auth::Role::Agent,
        agent_id: Some(agent_id),
        ..Claims::service(demo::COMPANY_ID, "agent")
    };
    token::issue(SECRET, &claims, HOUR).unwrap()
}

/// A token of a visitor of the demo website.
pub(crate) fn visitor(id: Uuid) -> String {
    token::issue(SECRET, &Claims::consumer(demo::COMPANY_ID, demo::WEBSITE_ID, id), HOUR).unwrap()
}
