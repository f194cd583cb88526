//! The stage of a run: a throw-away Postgres with fsync on, a database for each build with the demo company and some
//! thousand chats, and the servers, which end with this program.
//!
//! Each build has a database of its own: a server refuses a database with migrations that it does not know, and reads
//! every event of its database, also those that another server writes. The plain handlers, `pgbench` and `PostGraphile` share
//! one more, so that no build's tables grow by what others write.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use switchboard::{
    demo,
    platform::{
        auth::{
            Role,
            token::{self, Claims},
        },
        db::embedded::{Directory, Durability, Postgres},
    },
};
use tokio::process::Command;
use uuid::Uuid;

use crate::{
    Result,
    database::{CHATS, Database},
    process::Server,
};

/// This build's name in the tables.
pub(crate) const SWITCHBOARD: &str = "switchboard";
/// The name of the build that `--baseline` gives.
pub(crate) const BASELINE: &str = "baseline";
/// The database of the plain handlers, `pgbench` and `PostGraphile`.
const PEERS_DATABASE: &str = "peers";
/// Signs the tokens of the run.
const SECRET: &str = "a secret of the benchmarks, over 32 bytes long";
/// `max_connections` of Postgres: more than all servers and clients open together.
const CONNECTIONS: u32 = 400;
/// Settings that turn off the limits of one client.
const UNLIMITED: [(&str, &str); 6] = [
    ("SWITCHBOARD_WRITES_AT_ONCE", "0"),
    ("SWITCHBOARD_VISITOR_WRITES_AT_ONCE", "0"),
    ("SWITCHBOARD_LOGINS_AT_ONCE", "0"),
    ("SWITCHBOARD_GUESSES_AT_ONCE", "0"),
    ("SWITCHBOARD_FRAMES_AT_ONCE", "0"),
    ("SWITCHBOARD_UNPROVEN_LIMIT", "1000000"),
];
/// How long every token lives; longer than any run.
const TOKEN_LIFE: Duration = Duration::from_hours(24);

/// The peers' table: like `chat`, without the foreign keys.
const PEERS: &str = "
    create schema bench;
    create table bench.chat (like switchboard.chat including all);
    insert into bench.chat select * from switchboard.chat;
    analyze bench.chat;
";
const ANALYZE: &str = "analyze switchboard.chat; analyze switchboard.chat_race;";

/// A binary of the server and its database.
#[derive(Debug)]
pub(crate) struct Build {
    pub(crate) name: &'static str,
    pub(crate) database: Database,
    binary: PathBuf,
    data_folder: PathBuf,
}

impl Build {
    /// Creates the demo company, with this build's own migrations, and some thousand chats.
    async fn prepare(&self) -> Result<()> {
        let mut seed = self.command("seed");
        let output = seed.output().await?;
        if !output.status.success() {
            return Err(format!("{} seed: {}", self.binary.display(), String::from_utf8_lossy(&output.stderr)).into());
        }
        self.database.offer("", CHATS).await?;
        self.database.execute(ANALYZE).await
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg(subcommand).env_clear().kill_on_drop(true);
        command.env("DATABASE_URL", self.database.url()).env("SWITCHBOARD_JWT_SECRET", SECRET);
        command.env("SWITCHBOARD_LISTEN", "127.0.0.1:0").env("SWITCHBOARD_DATA_DIR", &self.data_folder);
        // One machine sends what thousands of clients would.
        for (limit, off) in UNLIMITED {
            command.env(limit, off);
        }
        command
    }

    /// The command of its server, with default settings on a free port.
    pub(crate) fn serve_command(&self) -> Command {
        self.command("serve")
    }

    /// Starts its server.
    pub(crate) async fn serve(&self) -> Result<Server> {
        Server::start(self.serve_command()).await
    }
}

/// The databases, and what is needed to start servers on them.
pub(crate) struct Stage {
    pub(crate) path: PathBuf,
    pub(crate) postgres_version: String,
    /// A token of the company's server, for all requests that need no other.
    pub(crate) token: String,
    /// This build first; then the baseline, if there is one.
    pub(crate) builds: Vec<Build>,
    peers: Database,
    directory: Directory,
    postgres: Postgres,
    postgraphile: bool,
}

impl Stage {
    /// Starts Postgres and fills the databases.
    pub(crate) async fn build(postgraphile: bool, baseline: Option<&Path>) -> Result<Self> {
        let baseline = baseline.map(fs::canonicalize).transpose().map_err(|error| format!("--baseline: {error}"))?;
        let path = env::temp_dir().join(format!("switchboard-bench-{}", std::process::id()));
        let directory = Directory::open(&path)?;
        eprintln!("load: starting Postgres in {}", path.display());
        let postgres = Postgres::start(&directory, CONNECTIONS, Durability::Full).await?;
        let mut connection = PgConnection::connect_with(&postgres.options()).await?;
        let postgres_version: String = sqlx::query_scalar("show server_version").fetch_one(&mut connection).await?;
        let build =
            |name, binary, options| Build { name, binary, database: Database::new(options), data_folder: path.clone() };
        let mut builds =
            vec![build(SWITCHBOARD, PathBuf::from(env!("CARGO_BIN_EXE_switchboard")), directory.options())];
        if let Some(binary) = baseline {
            sqlx::query("create database baseline").execute(&mut connection).await?;
            builds.push(build(BASELINE, binary, directory.options().database(BASELINE)));
        }
        connection.close().await?;
        for build in &builds {
            build.prepare().await?;
        }
        let copy = format!("create database {PEERS_DATABASE} template {}", builds[0].database.name());
        let mut connection = PgConnection::connect_with(&postgres.options().database("postgres")).await?;
        sqlx::query(AssertSqlSafe(copy)).execute(&mut connection).await?;
        connection.close().await?;
        let peers = Database::new(directory.options().database(PEERS_DATABASE));
        peers.execute(PEERS).await?;
        let token = token::issue(SECRET, &Claims::service(demo::COMPANY_ID, "load"), TOKEN_LIFE)?;
        let postgraphile = postgraphile && install_peers().await;
        Ok(Self { path, postgres_version, token, builds, peers, directory, postgres, postgraphile })
    }

    /// Stops Postgres and removes its files.
    pub(crate) async fn clear(self) {
        self.postgres.stop().await;
        let _ = fs::remove_dir_all(&self.path);
    }

    /// The database of the plain handlers, `pgbench` and `PostGraphile`.
    pub(crate) fn peers(&self) -> &Database {
        &self.peers
    }

    /// A token of a company's server.
    pub(crate) fn token_of(&self, company_id: Uuid) -> Result<String> {
        Ok(token::issue(SECRET, &Claims::service(company_id, "load"), TOKEN_LIFE)?)
    }

    /// Tokens of so many users of the agent that the chats are offered to: a `sub` each, the same `agent_id`.
    pub(crate) fn agent_tokens(&self, count: usize) -> Result<Vec<String>> {
        let agent_id = demo::demo().contracts[0].agent_id;
        let token = |user| {
            let claims = Claims {
                role: Role::Agent,
                company_id: demo::COMPANY_ID,
                sub: Some(format!("user-{user}")),
                website_id: None,
                agent_id: Some(agent_id),
                session_id: None,
            };
            Ok(token::issue(SECRET, &claims, TOKEN_LIFE)?)
        };
        (0..count).map(token).collect()
    }

    /// The path of a program of Postgres; `None` if it is not installed.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        let program = self.directory.binaries().ok()?.folder.join(name);
        program.exists().then_some(program)
    }

    /// Starts the plain handlers.
    pub(crate) async fn plain(&self) -> Result<Server> {
        let mut command = Command::new(env::current_exe()?);
        command.arg("--plain").arg(self.peers().url());
        Server::start(command).await
    }

    /// The command of `PostGraphile`; `None` if it is not installed or not wanted.
    pub(crate) fn postgraphile_command(&self) -> Option<Command> {
        if !self.postgraphile {
            return None;
        }
        // PostGraphile needs Node 22; npm installed that version beside it.
        let mut command = Command::new(peers().join("node_modules/.bin/node"));
        command.arg("postgraphile.mjs").current_dir(peers()).env("NODE_ENV", "production");
        command.env("DATABASE_URL", self.peers().url()).env("GRAPHILE_ENV", "production");
        Some(command)
    }

    /// Starts `PostGraphile`; `None` if it is not installed or not wanted.
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

/// Installs the peers unless they are there; false if npm fails.
async fn install_peers() -> bool {
    if peers().join("node_modules/postgraphile").exists() {
        return true;
    }
    eprintln!("load: npm ci in benches/peers");
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(peers());
    let installed = npm.status().await.is_ok_and(|status| status.success());
    if !installed {
        eprintln!("load: PostGraphile could not be installed; continuing without it");
    }
    installed
}
