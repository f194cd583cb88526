//! A Postgres of this server's own: started with it, stopped with it, its data kept in the data directory.
//!
//! ```text
//! data directory (ours)             processes
//!   owner         flock             switchboard ── holds `owner`; a second server is refused at once
//!   lock          flock                 │ pipe (its end is the order to stop)
//!   postgres.log  (and .old)            ▼
//!   jwt-secret    0600              sh, a group of its own, as `postgres` where we are root
//!   postgres/     0700, the             │ SIGINT (fast shutdown) when the pipe ends
//!     data/       account's             ▼
//!     .s.PGSQL.5432                 postgres and its backends ── hold `lock` for as long as one of them lives
//! ```
//!
//! What holds:
//! - Postgres ends when this process ends, by whatever means (`kill -9` too): the kernel closes the pipe, the shell
//!   reads its end, and Postgres shuts down. Nothing has to be cleaned up before the next start.
//! - "Locked" means "alive": the flock on `lock` is inherited by every process of Postgres and vanishes with the last
//!   of them. No pid file is interpreted. A new server waits for the lock, so two Postgres never share the data.
//! - A data directory is either complete or absent: `initdb` works in `data.new`, which is renamed when it is whole.
//! - It is reached through a Unix socket in a directory of mode 0700 and by nothing else.
//! - Commits are flushed (fsync), pages carry checksums.
//! - Only directories that this program created get another owner or mode; links and other people's are refused.
//!
//! What may go wrong: Postgres dies under us (out of memory, `kill -9`). It is started again once; when it dies
//! again within a minute, or does not come up, [`Embedded::exited`] says why and the server should end. A shell that
//! was killed leaves Postgres running without it: whoever needs the directory next stops that one first.

mod binaries;
mod directory;
mod supervisor;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use sqlx::postgres::PgConnectOptions;
use tokio::sync::{oneshot, watch};

pub use self::{
    binaries::{Account, Binaries},
    directory::{Directory, default_data_dir},
    supervisor::{Durability, Postgres},
};
use crate::platform::error::{Code, Error, Result};

/// A Postgres that dies again within this time is not started a third time.
const STEADY: Duration = Duration::from_mins(1);

/// An error whose text is for whoever starts the server.
fn failed(message: impl Into<String>) -> Error {
    Error::new(Code::Unavailable, message)
}

/// The running Postgres of one data directory. Dropping it stops Postgres too, without waiting for the end.
#[derive(Debug)]
pub struct Embedded {
    options: PgConnectOptions,
    stop: oneshot::Sender<()>,
    given_up: watch::Receiver<Option<String>>,
    keeper: tokio::task::JoinHandle<()>,
}

/// Starts the Postgres of `data_dir`, making the directory and its database at the first start. `connections` is how
/// many the server will open at most. Waits for an earlier Postgres on the directory to finish shutting down.
///
/// # Errors
/// UNAVAILABLE with a message that says what to do: no usable binaries, a directory that another server uses or that
/// belongs to somebody else, a Postgres that does not start.
pub async fn start(data_dir: &Path, connections: u32) -> Result<Embedded> {
    let path = data_dir.to_owned();
    let directory = blocking(move || Directory::open(&path)).await?;
    let owner = directory.own()?;
    let postgres = Postgres::start(&directory, connections, Durability::Full).await?;
    let options = postgres.options();
    let (stop, stopped) = oneshot::channel();
    let (report, given_up) = watch::channel(None);
    let keeper = tokio::spawn(async move {
        if let Some(reason) = keep(postgres, &directory, connections, stopped).await {
            tracing::error!(reason, log = %directory.log().display(), "embedded Postgres is gone");
            report.send_replace(Some(reason));
        }
        drop(owner); // only now may another server have the directory
    });
    Ok(Embedded { options, stop, given_up, keeper })
}

/// Keeps Postgres up until told to stop. Returns why it gave up, if it did.
async fn keep(
    mut postgres: Postgres,
    directory: &Directory,
    connections: u32,
    mut stopped: oneshot::Receiver<()>,
) -> Option<String> {
    let mut last_death: Option<Instant> = None;
    loop {
        let status = tokio::select! {
            _ = &mut stopped => {
                postgres.stop().await;
                return None;
            }
            status = postgres.ended() => status,
        };
        if last_death.replace(Instant::now()).is_some_and(|before| before.elapsed() < STEADY) {
            return Some(format!("Postgres ended ({status}) twice within a minute"));
        }
        tracing::error!(%status, log = %directory.log().display(), "embedded Postgres ended by itself; starting it again");
        match Postgres::start(directory, connections, Durability::Full).await {
            Ok(again) => postgres = again,
            Err(error) => return Some(format!("Postgres ended ({status}) and did not come back: {error}")),
        }
    }
}

impl Embedded {
    /// How to connect to it: over its socket, to the database `switchboard`.
    pub fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// Shuts Postgres down and returns when it is gone.
    pub async fn stop(self) {
        let Self { stop, keeper, .. } = self;
        drop(stop); // the keeper reads a closed channel as the order to stop
        if let Err(error) = keeper.await {
            tracing::error!(%error, "the keeper of the embedded Postgres failed");
        }
    }

    /// Returns, with the reason, when Postgres is gone for good: the server is of no more use then and should end.
    pub async fn exited(&self) -> Error {
        let mut given_up = self.given_up.clone();
        match given_up.wait_for(Option::is_some).await {
            Ok(reason) => failed(format!("embedded Postgres: {}", reason.as_deref().unwrap_or("gone"))),
            Err(_) => failed("embedded Postgres: stopped"),
        }
    }
}

/// The Postgres of `data_dir`, if a server has it running at this moment: other commands work through that one.
///
/// # Errors
/// As [`start`] for the directory itself.
pub fn running(data_dir: &Path) -> Result<Option<PgConnectOptions>> {
    if !data_dir.join("owner").exists() {
        return Ok(None);
    }
    let directory = Directory::open(data_dir)?;
    Ok(directory.own().is_err().then(|| directory.options()))
}

/// The secret that signs tokens on the embedded default: 32 random bytes as hex, made once per data directory.
///
/// # Errors
/// UNAVAILABLE when the directory or the file cannot be used.
pub fn generated_secret(data_dir: &Path) -> Result<String> {
    Directory::open(data_dir)?.secret()
}

/// Runs what waits for the disk or for other programs off the threads that serve.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}
