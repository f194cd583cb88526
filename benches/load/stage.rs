//! What everything is measured on: a throw-away Postgres with fsync on, the demo company with some thousand chats,
//! and the servers, which are started here and end with this program.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};
use switchboard::{
    demo,
    platform::{
        auth::token::{self, Claims},
        db::{
            self,
            embedded::{Directory, Durability, Postgres},
        },
        unit::UnitOfWork,
    },
};
use tokio::process::Command;

use crate::{Result, process::Server};

/// Chats that are there to be read.
pub(crate) const CHATS: u32 = 10_000;
/// Signs the tokens of the run.
const SECRET: &str = "a secret of the benchmarks, over 32 bytes long";
/// More than all servers together open.
const CONNECTIONS: u32 = 400;

/// A table like `chat`, without the keys that refer to other tables: what the peers read and insert into.
const PEERS: &str = "
    create schema bench;
    create table bench.chat (like switchboard.chat including all);
    insert into bench.chat select * from switchboard.chat;
    analyze bench.chat;
    analyze switchboard.chat;
    analyze switchboard.chat_race;
";

/// Races that wait for an answer, each with one chat, both with ids that can be counted.
const OFFERS: &str = "
    with number as (select md5('PREFIX' || n)::uuid as id from generate_series(1, COUNT) as n),
    race as (
        insert into switchboard.chat_race (company_id, key, website_id, owner, state, expires_at)
        select 'COMPANY', id, 'WEBSITE', 'load', 'WAITING', switchboard.now() + interval '1 hour' from number
    )
    insert into switchboard.chat (company_id, id, key, website_id, contract_id, agent_id, visitor, status, headline,
        customer_name)
    select 'COMPANY', id, id, 'WEBSITE', 'CONTRACT', 'AGENT', 'load', 'ACTIVE', 'Hello?', 'Eve' from number
";

/// The database and what is needed to start servers on it.
pub(crate) struct Stage {
    pub(crate) path: PathBuf,
    pub(crate) postgres_version: String,
    /// Of the company's server.
    pub(crate) token: String,
    directory: Directory,
    postgres: Postgres,
    postgraphile: bool,
}

impl Stage {
    /// Makes the database and fills it.
    pub(crate) async fn build(postgraphile: bool) -> Result<Self> {
        let path = env::temp_dir().join(format!("switchboard-bench-{}", std::process::id()));
        let directory = Directory::open(&path)?;
        eprintln!("load: starting Postgres in {}", path.display());
        let postgres = Postgres::start(&directory, CONNECTIONS, Durability::Full).await?;
        let options = postgres.options();
        db::migrate(&options).await?;
        let pool = sqlx::PgPool::connect_with(options).await?;
        demo::seed(&UnitOfWork::detached(pool.clone())).await?;
        let postgres_version: String = sqlx::query_scalar("show server_version").fetch_one(&pool).await?;
        pool.close().await;
        let token = token::issue(SECRET, &Claims::service(demo::COMPANY_ID, "load"), Duration::from_hours(24))?;
        let postgraphile = postgraphile && install_peers().await;
        let stage = Self { path, postgres_version, token, directory, postgres, postgraphile };
        stage.offer("", CHATS).await?;
        stage.execute(PEERS).await?;
        Ok(stage)
    }

    /// Stops Postgres and removes it.
    pub(crate) async fn clear(self) {
        self.postgres.stop().await;
        let _ = fs::remove_dir_all(&self.path);
    }

    /// How to connect to the database.
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.directory.options()
    }

    /// A connection past all servers.
    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect_with(&self.options().options([("search_path", "switchboard")])).await?)
    }

    /// Runs statements with the demo company's ids in them.
    pub(crate) async fn execute(&self, statements: &str) -> Result<()> {
        let mut connection = self.connect().await?;
        sqlx::raw_sql(AssertSqlSafe(self.fill_in(statements))).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Makes `count` races with an offer each; `md5(prefix || n)` is both the key of the nth and its chat's id.
    pub(crate) async fn offer(&self, prefix: &str, count: u32) -> Result<()> {
        self.execute(&OFFERS.replace("PREFIX", prefix).replace("COUNT", &count.to_string())).await
    }

    /// The ids of such chats.
    pub(crate) async fn offered(&self, prefix: &str, count: u32) -> Result<Vec<uuid::Uuid>> {
        let ids = sqlx::query_scalar("select md5($1 || n)::uuid from generate_series(1, $2) as n")
            .bind(prefix)
            .bind(i32::try_from(count)?)
            .fetch_all(&mut self.connect().await?)
            .await?;
        Ok(ids)
    }

    /// Statements with the demo company's ids in them.
    pub(crate) fn fill_in(&self, statements: &str) -> String {
        let contract = &demo::demo().contracts[0];
        statements
            .replace("COMPANY", &demo::COMPANY_ID.to_string())
            .replace("WEBSITE", &demo::WEBSITE_ID.to_string())
            .replace("CONTRACT", &contract.id.to_string())
            .replace("AGENT", &contract.agent_id.to_string())
            .replace("CHATS", &CHATS.to_string())
    }

    /// Where Postgres listens.
    pub(crate) fn socket_folder(&self) -> PathBuf {
        self.options().get_socket().cloned().unwrap_or_default()
    }

    /// The database as a URL.
    fn url(&self) -> String {
        format!("postgres://switchboard@localhost:5432/switchboard?host={}", self.socket_folder().display())
    }

    /// A program of Postgres, where it is installed.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        let program = self.directory.binaries().ok()?.folder.join(name);
        program.exists().then_some(program)
    }

    /// How the server is started: the binary of this profile on this database.
    pub(crate) fn switchboard_command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        command.arg("serve").env_clear();
        command.env("DATABASE_URL", self.url()).env("SWITCHBOARD_JWT_SECRET", SECRET);
        command.env("SWITCHBOARD_LISTEN", "127.0.0.1:0").env("SWITCHBOARD_DATA_DIR", &self.path);
        command
    }

    /// The server.
    pub(crate) async fn switchboard(&self) -> Result<Server> {
        Server::start(self.switchboard_command()).await
    }

    /// The plain handlers.
    pub(crate) async fn plain(&self) -> Result<Server> {
        let mut command = Command::new(env::current_exe()?);
        command.arg("--plain").arg(self.url());
        Server::start(command).await
    }

    /// How `PostGraphile` is started, unless it is not to be had.
    pub(crate) fn postgraphile_command(&self) -> Option<Command> {
        if !self.postgraphile {
            return None;
        }
        // npm brings the Node that it needs, whatever is installed.
        let mut command = Command::new(peers().join("node_modules/.bin/node"));
        command.arg("postgraphile.mjs").current_dir(peers()).env("NODE_ENV", "production");
        command.env("DATABASE_URL", self.url()).env("GRAPHILE_ENV", "production");
        Some(command)
    }

    /// `PostGraphile`, unless it is not to be had.
    pub(crate) async fn postgraphile(&self) -> Result<Option<Server>> {
        match self.postgraphile_command() {
            Some(command) => Ok(Some(Server::start(command).await?)),
            None => Ok(None),
        }
    }
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers")
}

/// Installs the peers once; false where that cannot be done.
async fn install_peers() -> bool {
    if peers().join("node_modules/postgraphile").exists() {
        return true;
    }
    eprintln!("load: npm ci in benches/peers");
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(peers());
    let installed = npm.status().await.is_ok_and(|status| status.success());
    if !installed {
        eprintln!("load: PostGraphile could not be installed; going on without it");
    }
    installed
}
