//! The whole server in this process, as many of it as a test wants on one database, and tokens for it.

use std::{ops::Deref, time::Duration};

use clap::Parser;
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};
use switchboard::{
    app::App,
    demo,
    platform::auth::{
        Role,
        token::{self, Claims},
    },
    settings::Settings,
};
use uuid::Uuid;

use super::{client::Client, cluster::TestDatabase};

/// Signs the tests' tokens.
pub(crate) const SECRET: &str = "a secret of the tests, over 32 bytes long";
/// A token's life in tests that are not about it.
const HOUR: Duration = Duration::from_hours(1);

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
        let work = app.database.work();
        demo::seed(&work).await.unwrap();
        work.close().await;
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

    /// Moves the database's clock for everybody, as if servers had lived meanwhile; they see it at their next look.
    pub(crate) async fn advance(&self, seconds: i64) {
        self.set_clock(seconds, "update service_alive set stamped_at = switchboard.now()").await;
    }

    /// Moves the database's clock, and nobody was there meanwhile.
    pub(crate) async fn advance_without_service(&self, seconds: i64) {
        self.set_clock(seconds, "").await;
    }

    async fn set_clock(&self, seconds: i64, and_then: &str) {
        let statements = format!(
            "create or replace function switchboard.now() returns timestamptz language sql volatile parallel safe
             return clock_timestamp() + interval '{seconds} seconds'; {and_then}"
        );
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut self.sql().await).await.unwrap();
    }
}

/// A running server and how to call it.
pub(crate) struct Node {
    pub(crate) app: App,
    client: Client,
}

impl Deref for Node {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Node {
    /// Starts a server on the database at `options`, with the tests' secret.
    pub(crate) async fn start(options: PgConnectOptions, flags: &[&str]) -> Self {
        // The server's and the test client's; the command installs it before anything else.
        switchboard::platform::auth::install_tls_provider();
        let started = App::start(settings(flags), options, Some(SECRET.to_owned())).await;
        let app = started.unwrap_or_else(|error| panic!("{}", error.chain()));
        Self { client: Client::new(app.address), app }
    }

    /// Stops it as a deployment would.
    pub(crate) async fn stop(self) {
        self.app.shutdown.drain.cancel();
        self.app.stopped().await.unwrap();
    }
}

/// A token with these claims.
pub(crate) fn token(claims: &Claims) -> String {
    token::issue(SECRET, claims, HOUR).unwrap()
}

/// A token of the demo company's service.
pub(crate) fn service() -> String {
    service_of(demo::COMPANY_ID)
}

/// A token of a company's service.
pub(crate) fn service_of(company_id: Uuid) -> String {
    token(&Claims::service(company_id, "backend"))
}

/// A token of an agent of the demo company.
pub(crate) fn agent(agent_id: Uuid) -> String {
    agent_of(demo::COMPANY_ID, agent_id)
}

/// A token of an agent.
pub(crate) fn agent_of(company_id: Uuid, agent_id: Uuid) -> String {
    token(&Claims { role: Role::Agent, agent_id: Some(agent_id), ..Claims::service(company_id, "agent") })
}

/// A token of a visitor of the demo website.
pub(crate) fn visitor(name: &str) -> String {
    token(&Claims::consumer(demo::COMPANY_ID, demo::WEBSITE_ID, name))
}
