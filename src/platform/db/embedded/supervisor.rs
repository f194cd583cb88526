//! One run of Postgres on a data directory, from the shell that watches over it to its end.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::process::{Child, ChildStdin, Command};

use super::{
    binaries::command,
    blocking,
    directory::{Directory, flush, on},
    failed,
};
use crate::platform::error::Result;

/// How long Postgres may take until it answers; replaying a long log after a crash is the slowest case.
const START_LIMIT: Duration = Duration::from_mins(5);
/// How long a fast shutdown may take before we leave it to itself; it goes on, and the next start waits for it.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Comes with the pipe as input, the lock as output, the log as error output; arguments: the program and its own.
/// Nobody but Postgres gets the lock (3), nobody but the reader gets the pipe (4). The reader repeats the signal, since
/// one that comes before Postgres has set its handlers is lost.
const SUPERVISE: &str = r#"
exec 3>&1 4<&0 1>&2 0</dev/null
trap '' HUP INT TERM
"$@" 4<&- &
postgres=$!
exec 3>&-
{ read -r _ <&4; while kill -INT "$postgres" 2>/dev/null; do sleep 1; done; } &
reader=$!
exec 4<&-
wait "$postgres"
status=$?
kill -KILL "$reader" 2>/dev/null
exit "$status"
"#;
/// As above without the pipe: runs a program to its end while it holds the lock, also if we are killed meanwhile.
const HOLD: &str = r#"exec 3>&1 1>&2; exec "$@""#;

/// Whether commits survive the loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Every commit is flushed to disk, so that it survives a crash of the machine.
    Full,
    /// A commit survives the end of Postgres but not a crash of the machine: for tests.
    None,
}

/// A running Postgres. It is shut down when this is dropped, or when this process dies.
#[derive(Debug)]
pub struct Postgres {
    supervisor: Child,
    lifeline: Option<ChildStdin>,
    options: PgConnectOptions,
}

impl Postgres {
    /// Starts Postgres on `directory` as soon as the one before it is gone, and returns when it takes connections.
    pub async fn start(directory: &Directory, connections: u32, durability: Durability) -> Result<Self> {
        let lock = directory.lock().await?;
        let here = directory.clone();
        let (mut supervisor, lock) = blocking(move || {
            make_data(&here, &lock, durability)?;
            Ok((supervise(&here, &lock, connections, durability)?, lock))
        })
        .await?;
        drop(lock); // Postgres has it now
        let lifeline = supervisor.stdin.take();
        let mut postgres = Self { supervisor, lifeline, options: directory.options() };
        let begun = Instant::now();
        loop {
            match make_database(&postgres.options).await {
                Ok(()) => return Ok(postgres),
                Err(error) if begun.elapsed() > START_LIMIT => {
                    return Err(failed(format!(
                        "Postgres does not answer: {error}; see {}",
                        directory.log().display()
                    )));
                }
                Err(_) => {}
            }
            if let Ok(status) = tokio::time::timeout(Duration::from_millis(10), postgres.ended()).await {
                return Err(failed(format!("Postgres did not start ({status}): {}", last_words(&directory.log()))));
            }
        }
    }

    /// How to connect to it.
    pub fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> String {
        self.supervisor.wait().await.map_or_else(|error| error.to_string(), |status: ExitStatus| status.to_string())
    }

    /// Shuts it down: open transactions are rolled back, what was committed is flushed.
    pub async fn stop(mut self) {
        self.lifeline = None; // ends the pipe, which is the order
        if tokio::time::timeout(STOP_LIMIT, self.ended()).await.is_err() {
            tracing::warn!("embedded Postgres is slow to shut down; leaving it to itself");
        }
    }

    /// The pipe whose end shuts Postgres down, for another process to hold in our place.
    pub fn hand_over(mut self) -> Option<Stdio> {
        self.lifeline.take()?.try_into().ok()
    }
}

/// Runs `initdb` unless there is data. An `initdb` that was cut short is done again from the start.
fn make_data(directory: &Directory, lock: &File, durability: Durability) -> Result<()> {
    let (data, draft) = (directory.data(), directory.home().join("data.new"));
    if data.exists() {
        return Ok(());
    }
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(on(&draft))?; // nobody works in it: we have the lock
    }
    let initdb = directory.binaries()?.folder.join("initdb");
    let mut run = command("/bin/sh", directory.account.as_ref());
    run.args(["-c", HOLD, "sh"]).arg(&initdb).arg("--pgdata").arg(&draft);
    run.args(["--username=switchboard", "--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--no-locale"]);
    run.args(["--data-checksums", "--no-instructions"]);
    if durability == Durability::None {
        run.arg("--no-sync");
    }
    let output = run.stdout(lock.try_clone().map_err(on(&draft))?).output().map_err(on(&initdb))?;
    if !output.status.success() {
        return Err(failed(format!("initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    fs::rename(&draft, &data).map_err(on(&data))?;
    flush(&directory.home())
}

/// Starts the shell that starts Postgres.
fn supervise(directory: &Directory, lock: &File, connections: u32, durability: Durability) -> Result<Child> {
    let binaries = directory.binaries()?;
    let path = directory.log();
    let _ = fs::rename(&path, path.with_extension("log.old")); // why the one before ended, if there was one
    let log = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(on(&path))?;
    let mut run = command("/bin/sh", directory.account.as_ref());
    run.args(["-c", SUPERVISE, "sh"]).arg(binaries.folder.join("postgres")).arg("-D").arg(directory.data());
    // A list of quoted names, where a quote is doubled.
    let sockets = format!("\"{}\"", directory.home().display().to_string().replace('"', "\"\""));
    let mut set = |name: &str, value: &str| {
        run.arg("-c").arg(format!("{name}={value}"));
    };
    set("unix_socket_directories", &sockets);
    set("unix_socket_permissions", "0700");
    set("port", "5432");
    set("listen_addresses", "");
    // Beside the server's own pool: its listener, other commands, somebody's psql.
    set("max_connections", &(connections + 32).max(100).to_string());
    // Short statements only: compiling them, or spreading them over processes, costs more than it saves.
    set("jit", "off");
    set("max_parallel_workers_per_gather", "0");
    set("log_checkpoints", "off"); // or the log grows while nothing happens
    if durability == Durability::None {
        for name in ["fsync", "full_page_writes", "synchronous_commit"] {
            set(name, "off");
        }
        set("max_wal_size", "4GB"); // and no checkpoints in the middle of a test
    }
    let mut run = Command::from(run);
    run.process_group(0).stdin(Stdio::piped()).stdout(lock.try_clone().map_err(on(&path))?).stderr(log);
    run.spawn().map_err(on(Path::new("/bin/sh")))
}

/// Connects, which shows that Postgres is up, and makes sure that the database is there.
async fn make_database(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect_with(&options.clone().database("postgres")).await?;
    let there: bool = sqlx::query_scalar("select exists (select from pg_database where datname = 'switchboard')")
        .fetch_one(&mut connection)
        .await?;
    if !there {
        sqlx::raw_sql("create database switchboard").execute(&mut connection).await?;
    }
    connection.close().await
}

/// The end of the log.
fn last_words(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join(" | ")
}
