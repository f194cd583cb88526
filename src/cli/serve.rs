//! The command `serve`: starts the database if it is embedded, then the server, and stops both on a signal.

use std::{convert::Infallible, future::pending, io::Write as _};

use crate::{
    app::App,
    demo,
    platform::{
        db::{self, embedded},
        error::{Error, Result},
        http::Shutdown,
        unit::UnitOfWork,
    },
    settings::Settings,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Connections of the embedded Postgres besides the requests' pool: notifier, listener, reader, retention, migration,
/// and other commands.
const OTHER_CONNECTIONS: u32 = 16;

pub(super) async fn run(settings: Settings) -> Result<()> {
    let database = &settings.database;
    let embedded = if database.database_url.is_some() {
        None
    } else {
        let connections = database.database_connections + OTHER_CONNECTIONS;
        Some(embedded::start(&super::data_dir(database)?, connections).await?)
    };
    let served = serve(settings, embedded.as_ref()).await;
    if let Some(embedded) = embedded {
        embedded.stop().await;
    }
    served
}

async fn serve(settings: Settings, embedded: Option<&embedded::Embedded>) -> Result<()> {
    let signals = (listen_for(SignalKind::terminate())?, listen_for(SignalKind::interrupt())?);
    let options = match (&settings.database.database_url, embedded) {
        (Some(url), _) => super::options_of(url)?,
        (None, Some(embedded)) => embedded.options(),
        (None, None) => return Err(Error::invalid("DATABASE_URL", "no database")),
    };
    let secret = super::secret(&settings.database, &settings.auth)?;
    super::migrate(&settings.database, &options).await?;
    let development = settings.auth.dev;
    if development {
        let pools = db::Pools::new(&db::connection_options(options.clone(), &settings.database), &settings.database);
        let work = UnitOfWork::detached(pools);
        demo::seed(&work).await?;
        work.close().await;
    }
    let directory = super::data_dir(&settings.database)?;
    let app = App::start(settings, options, secret).await?;
    let url = format!("http://{}", app.address);
    if development {
        let directory = embedded.map(|_| directory.display().to_string());
        print(&welcome(&url, directory.as_deref()));
    }
    if let Some(address) = app.metrics_address {
        print(&format!("metrics on http://{address}/metrics\n"));
    }
    print(&format!("listening on {url}\n"));
    let shutdown = app.shutdown.clone();
    let stopped = app.stopped();
    tokio::pin!(stopped);
    let gone = async {
        match embedded {
            Some(embedded) => embedded.exited().await,
            None => pending().await,
        }
    };
    tokio::select! {
        result = &mut stopped => result.map(drop),
        never = stop_on_signals(signals, &shutdown) => match never {},
        error = gone => {
            shutdown.now.cancel();
            // The embedded database is the cause; what failed because of it is in the log.
            let _ = stopped.await;
            Err(error)
        }
    }
}

fn listen_for(kind: SignalKind) -> Result<Signal> {
    signal(kind).map_err(Error::internal)
}

/// The first signal starts the drain, the second stops the server at once; later ones do nothing. Part of the main task
/// and not spawned: a server that lost the task could not be stopped.
async fn stop_on_signals((mut terminate, mut interrupt): (Signal, Signal), shutdown: &Shutdown) -> Infallible {
    for stage in [&shutdown.drain, &shutdown.now] {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!(at_once = shutdown.drain.is_cancelled(), "stopping");
        stage.cancel();
    }
    pending().await
}

/// Writes to standard error; ignores a closed one.
fn print(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// The text for a developer: the address, the demo data, and an example request. Production gets none of it: demo data,
/// with its fixed ids and keys, exists only in development and by the command `seed`.
fn welcome(url: &str, directory: Option<&str>) -> String {
    let demo = demo::demo();
    let mut lines = vec![String::new(), format!("  Switchboard is at {url} (GraphQL: {url}/graphql)")];
    if let Some(directory) = directory {
        lines.push(format!("  Its data is in {directory}"));
    }
    lines.push(format!("  Demo company {}, website {}", demo.company_id, demo.website_id));
    lines.push("  Development mode: callers without a token act as the demo company's service.".to_owned());
    let document = format!(
        r#"mutation {{ createChatRace(input: {{ websiteId: \"{}\", customerName: \"Eve\", headline: \"Hello?\" }}) {{ race {{ key state chats {{ id status }} }} }} }}"#,
        demo.website_id
    );
    lines.push("  Try it:\n".to_owned());
    lines.push(format!(
        "    curl -s {url}/graphql -H 'content-type: application/json' \\\n      -d '{{\"query\":\"{document}\"}}'\n\n"
    ));
    lines.join("\n")
}
