//! One Postgres for a whole test run, a database for each test.
//!
//! The first test that needs the cluster starts it, the others find it: by the process id of the *runner*, which is this
//! process under `cargo test` and its parent under `cargo nextest` (a process per test). A small shell holds the
//! cluster's lifeline and watches the runner, so that Postgres and its files go when the run ends, however it ends.
//!
//! A test's database is a copy of a migrated template. Nothing is flushed (fsync off); tests that crash Postgres have
//! an [`OwnCluster`], which is durable.

use std::{
    env,
    fs::{self, File},
    os::unix::process::{CommandExt, parent_id},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, Connection, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use switchboard::platform::{
    db::{
        self,
        embedded::{Directory, Durability, Postgres},
    },
    unit::UnitOfWork,
};
use tokio::sync::OnceCell;

/// Enough for eight tests at once with two servers each.
const CONNECTIONS: u32 = 500;

/// Ends when the runner does, whose process id is its argument. Its output is the cluster's lifeline.
const HOLD: &str = r#"while kill -0 "$1" 2>/dev/null; do sleep 0.2; done"#;
/// As above, and then removes the directory, its second argument, as soon as nobody works in there any more.
const REMOVE: &str = r#"
while kill -0 "$1" 2>/dev/null; do sleep 0.2; done
tries=0
while [ -e "$2/postgres/data/postmaster.pid" ] && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
until rm -rf "$2" || [ $tries -gt 300 ]; do sleep 0.1; tries=$((tries + 1)); done
"#;

/// Starts a script that watches the runner and outlives this process.
#[expect(clippy::zombie_processes, reason = "it ends after this process")]
fn watch(script: &str, runner: u32, path: &Path, output: Stdio) {
    let mut watch = Command::new("/bin/sh");
    watch.args(["-c", script, "sh", &runner.to_string()]).arg(path).current_dir("/").process_group(0);
    watch.stdin(Stdio::null()).stdout(output).stderr(Stdio::null()).spawn().unwrap();
}

/// The cluster of this run.
#[derive(Debug)]
struct Cluster {
    path: PathBuf,
    options: PgConnectOptions,
    template: String,
}

impl Cluster {
    async fn get() -> &'static Self {
        static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
        CLUSTER.get_or_init(Self::find_or_start).await
    }

    async fn find_or_start() -> Self {
        let runner = if env::var_os("NEXTEST").is_some() { parent_id() } else { std::process::id() };
        let path = env::temp_dir().join(format!("switchboard-test-{runner}"));
        let directory = Directory::open(&path).unwrap();
        // One process sets up, the others wait.
        let lock = File::create(path.join("setup")).unwrap();
        let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await.unwrap().unwrap();
        let options = directory.options();
        if PgConnection::connect_with(&options).await.is_err() {
            watch(REMOVE, runner, &path, Stdio::null());
            let postgres = Postgres::start(&directory, CONNECTIONS, Durability::None).await.unwrap();
            watch(HOLD, runner, &path, postgres.hand_over().unwrap());
        }
        let template = make_template(&options).await;
        drop(lock);
        Self { path, options, template }
    }
}

/// Makes the migrated database that others are copied from, named after what the migrations contain.
async fn make_template(options: &PgConnectOptions) -> String {
    let key = sqlx::migrate!().iter().flat_map(|migration| migration.checksum.to_vec()).fold(0_u64, |key, byte| {
        // FNV-1a
        (key ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let name = format!("template_{key:016x}");
    let mut admin = PgConnection::connect_with(options).await.unwrap();
    let there: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(&name)
        .fetch_one(&mut admin)
        .await
        .unwrap();
    if !there {
        // Renamed when it is whole: a run's first test may be killed in the middle.
        execute(&mut admin, "drop database if exists template_draft with (force)").await;
        execute(&mut admin, "create database template_draft").await;
        migrate(options.clone().database("template_draft")).await;
        execute(&mut admin, &format!("alter database template_draft rename to {name}")).await;
    }
    name
}

async fn migrate(options: PgConnectOptions) {
    db::migrate(&options, None).await.unwrap_or_else(|error| panic!("{}", error.chain()));
}

async fn execute(connection: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.unwrap();
}

/// An empty place for a test's own files, which goes when the run ends.
pub(crate) async fn scratch() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    Cluster::get().await.path.join(format!("{}-{number}", std::process::id()))
}

/// A migrated database of one test, dropped with this value.
#[derive(Debug)]
pub(crate) struct TestDatabase {
    cluster: &'static Cluster,
    name: String,
}

impl TestDatabase {
    /// Copies the template.
    pub(crate) async fn create() -> Self {
        let cluster = Cluster::get().await;
        let name = format!("test_{}", uuid::Uuid::now_v7().simple());
        let mut admin = PgConnection::connect_with(&cluster.options).await.unwrap();
        let template = &cluster.template;
        execute(&mut admin, &format!("create database {name} template {template} strategy file_copy")).await;
        // A copy does not take along the settings that the migrations gave to the database.
        let settings: Vec<String> =
            sqlx::query_scalar("select unnest(setconfig) from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase where datname = $1 and setrole = 0")
                .bind(template)
                .fetch_all(&mut admin)
                .await
                .unwrap();
        for (variable, value) in settings.iter().filter_map(|setting| setting.split_once('=')) {
            execute(&mut admin, &format!("alter database {name} set {variable} = {value}")).await;
        }
        admin.close().await.unwrap();
        Self { cluster, name }
    }

    /// Units of work that wake no reader and no scheduler.
    pub(crate) fn work(&self) -> UnitOfWork {
        let pool = PgPoolOptions::new().max_connections(4).connect_lazy_with(self.options());
        UnitOfWork::detached(pool)
    }

    /// How to connect to it.
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.cluster.options.clone().database(&self.name)
    }

    /// The same as a value of `DATABASE_URL`.
    pub(crate) fn url(&self) -> String {
        let socket = self.cluster.options.get_socket().unwrap().display();
        format!("postgres://switchboard@localhost:5432/{}?host={socket}", self.name)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let options = self.cluster.options.clone();
        let statement = format!("drop database {} with (force)", self.name);
        // Not on the test's own runtime, which may be ending.
        let dropping = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut admin = PgConnection::connect_with(&options).await.unwrap();
                execute(&mut admin, &statement).await;
            });
        });
        let _ = dropping.join(); // one that stays goes with the cluster
    }
}

/// A durable Postgres of one test, which may crash it.
#[derive(Debug)]
pub(crate) struct OwnCluster {
    path: PathBuf,
    directory: Directory,
    running: Option<Postgres>,
}

impl OwnCluster {
    /// Starts it, migrated.
    pub(crate) async fn start() -> Self {
        let path = scratch().await;
        let directory = Directory::open(&path).unwrap();
        let mut own = Self { path, directory, running: None };
        own.start_again().await;
        migrate(own.options()).await;
        own
    }

    /// How to connect to it; the same after each start.
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.directory.options()
    }

    /// The same as a value of `DATABASE_URL`.
    pub(crate) fn url(&self) -> String {
        let options = self.options();
        let (socket, database) = (options.get_socket().unwrap().display(), options.get_database().unwrap());
        format!("postgres://{}@localhost:5432/{database}?host={socket}", options.get_username())
    }

    /// A program of the Postgres that this one is made of.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.directory.binaries().unwrap().folder.join(name)
    }

    /// `kill -9` of the postmaster. Returns when every session has broken off.
    pub(crate) async fn crash(&mut self) {
        let mut running = self.running.take().expect("it runs");
        kill_postmaster(&self.directory.data());
        running.ended().await;
        drop(self.directory.lock().await.unwrap());
    }

    /// Copies its files, as they would be on a snapshot of the disk, and starts it again.
    pub(crate) async fn save(&mut self) -> PathBuf {
        self.crash().await;
        let copy = self.path.join("saved");
        copy_files(&self.directory.data(), &copy);
        self.start_again().await;
        copy
    }

    /// Puts the files of a copy in the place of its own, and starts it again.
    pub(crate) async fn put_back(&mut self, copy: PathBuf) {
        self.crash().await;
        fs::remove_dir_all(self.directory.data()).unwrap();
        copy_files(&copy, &self.directory.data());
        self.start_again().await;
    }

    /// Starts it on the same data and socket.
    pub(crate) async fn start_again(&mut self) {
        assert!(self.running.is_none(), "crash it first");
        self.running = Some(Postgres::start(&self.directory, 100, Durability::Full).await.unwrap());
    }
}

/// Copies a directory with owners and modes.
fn copy_files(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

impl Drop for OwnCluster {
    fn drop(&mut self) {
        if self.running.is_some() {
            kill_postmaster(&self.directory.data());
        }
        // Backends may write until they notice; what still stays goes with the run's cluster.
        for _ in 0..100 {
            if fs::remove_dir_all(&self.path).is_ok() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// `kill -9` of the Postgres that has this data open.
pub(crate) fn kill_postmaster(data: &Path) {
    let pid = fs::read_to_string(data.join("postmaster.pid")).unwrap();
    let killed =
        Command::new("/bin/sh").args(["-c", "kill -KILL \"$1\"", "sh"]).arg(pid.lines().next().unwrap()).status();
    assert!(killed.unwrap().success());
}

#[tokio::test]
async fn every_test_has_a_migrated_database_of_its_own() {
    let (one, other) = tokio::join!(TestDatabase::create(), TestDatabase::create());
    let mut in_one = PgConnection::connect_with(&one.options()).await.unwrap();
    execute(&mut in_one, "create table public.mine()").await;
    let mut in_other: PgConnection = PgConnection::connect(&other.url()).await.unwrap();
    let (mine, website, found): (bool, bool, bool) = sqlx::query_as(
        "select to_regclass('public.mine') is not null, to_regclass('switchboard.website') is not null, \
                to_regclass('website') is not null",
    )
    .fetch_one(&mut in_other)
    .await
    .unwrap();
    assert!(!mine, "another test's table");
    assert!(website, "migrated");
    assert!(found, "the search path that the migrations gave");
}

#[tokio::test]
async fn own_cluster_keeps_what_was_committed_before_a_crash() {
    let mut own = OwnCluster::start().await;
    let mut connection = PgConnection::connect_with(&own.options()).await.unwrap();
    execute(&mut connection, "create table public.kept as select 1 as n").await;
    own.crash().await;
    assert!(sqlx::query("select 1").execute(&mut connection).await.is_err(), "the session broke off");
    assert!(PgConnection::connect_with(&own.options()).await.is_err(), "nobody listens");
    own.start_again().await;
    let mut connection = PgConnection::connect_with(&own.options()).await.unwrap();
    let kept: i32 = sqlx::query_scalar("select n from public.kept").fetch_one(&mut connection).await.unwrap();
    assert_eq!(kept, 1);
}
