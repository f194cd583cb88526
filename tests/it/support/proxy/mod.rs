//! A stretch of road between a server and Postgres on which faults can be made.

mod frames;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncReadExt, copy_bidirectional},
    net::{UnixListener, UnixStream},
    sync::watch,
    task::JoinHandle,
};

use self::frames::Counted;
use super::cluster::scratch;

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Road {
    /// Everything gets through.
    Pass,
    /// Open connections are closed, new ones too.
    Cut,
    /// Connections stay open and nothing gets through, as when the other machine has lost its power. One that was
    /// frozen never works again; those opened after a return to [`Road::Pass`] do.
    Freeze,
}

/// Forwards a Unix socket of its own to that of Postgres.
pub(crate) struct Proxy {
    directory: PathBuf,
    road: watch::Sender<Road>,
    /// How often the connections that were open then were frozen.
    freezes: watch::Sender<u64>,
    /// Statements that servers have sent.
    statements: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Stands before the Postgres of `options`.
    pub(crate) async fn before(options: &PgConnectOptions) -> Self {
        let directory = scratch().await;
        std::fs::create_dir_all(&directory).unwrap();
        let listener = UnixListener::bind(directory.join(".s.PGSQL.5432")).unwrap();
        let postgres = options.get_socket().unwrap().join(format!(".s.PGSQL.{}", options.get_port()));
        let road = watch::Sender::new(Road::Pass);
        let (state, freezes) = (road.clone(), watch::Sender::new(0));
        let frozen = freezes.clone();
        let statements = Arc::<AtomicU64>::default();
        let count = Arc::clone(&statements);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let client = Counted::new(client, Arc::clone(&count));
                tokio::spawn(serve(client, postgres.clone(), state.subscribe(), frozen.subscribe()));
            }
        });
        Self { directory, road, freezes, statements, accepting }
    }

    /// `options` by way of this proxy.
    pub(crate) fn options(&self, options: &PgConnectOptions) -> PgConnectOptions {
        options.clone().socket(&self.directory).port(5432)
    }

    /// How many statements servers have sent by now.
    pub(crate) fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Freezes the connections that are open now; new ones work.
    pub(crate) fn freeze_open(&self) {
        self.freezes.send_modify(|freezes| *freezes += 1);
    }

    /// From now on the road is like this.
    pub(crate) fn set(&self, road: Road) {
        self.road.send_replace(road);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

async fn serve(
    mut client: Counted,
    postgres: PathBuf,
    mut road: watch::Receiver<Road>,
    mut freezes: watch::Receiver<u64>,
) {
    let mut server = None;
    let mut is_frozen = false;
    freezes.mark_unchanged();
    if *road.borrow_and_update() == Road::Pass {
        let connected = server.insert(UnixStream::connect(postgres).await.unwrap());
        tokio::select! {
            _ = copy_bidirectional(&mut client, connected) => return,
            _ = road.wait_for(|road| *road != Road::Pass) => {}
            _ = freezes.changed() => is_frozen = true,
        }
    }
    if is_frozen || *road.borrow() == Road::Freeze {
        // `server` stays open as well: it does not know either.
        tokio::select! {
            () = swallow(&mut client) => {}
            _ = road.wait_for(|road| *road == Road::Cut) => {}
        }
    }
}

/// Returns when the client has closed the connection.
async fn swallow(client: &mut Counted) {
    let mut bytes = [0; 1024];
    while client.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
}
