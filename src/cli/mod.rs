//! The command line: `serve` (default), `migrate`, `schema`, `seed`, `company`, `token`, `api-key`, `sql-role`.

mod manage;
mod serve;

use std::{
    ffi::OsString,
    fmt::Display,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    str::FromStr as _,
};

use clap::{Parser, Subcommand};
use sqlx::postgres::PgConnectOptions;

use crate::{
    concepts,
    platform::{
        config::{AuthSettings, DatabaseSettings},
        db::{self, embedded},
        error::{Error, Result},
        telemetry::{self, LogFormat},
        unit::UnitOfWork,
    },
    settings::Settings,
};

/// Runs the program: reads the process's arguments and does what they say.
#[tokio::main]
pub async fn main() -> ExitCode {
    let CommandLine { log_format, command } = CommandLine::parse_from(arguments());
    telemetry::init(log_format);
    match command.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("switchboard: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

/// Makes racy conversations safe: one server on Postgres, with a GraphQL API.
#[derive(Debug, Parser)]
#[command(version)]
struct CommandLine {
    /// Format of log lines [default: text on a terminal, otherwise json]
    #[arg(long, env = "SWITCHBOARD_LOG_FORMAT", global = true, value_enum)]
    log_format: Option<LogFormat>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the server (the default command)
    Serve(Box<Settings>),
    /// Applies migrations, then exits
    Migrate(DatabaseSettings),
    /// Prints the GraphQL schema in the schema definition language
    Schema,
    /// Creates the demo data if it does not exist, and prints its ids
    Seed {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseSettings,
    },
    /// Manages companies
    #[command(subcommand)]
    Company(manage::CompanyCommand),
    /// Prints a token signed with the configured secret
    Token(Box<manage::TokenCommand>),
    /// Manages the API keys of companies' servers
    #[command(subcommand)]
    ApiKey(manage::ApiKeyCommand),
    /// Manages which companies a database role may call the SQL functions for
    #[command(subcommand)]
    SqlRole(manage::SqlRoleCommand),
}

/// The process's arguments, with the command `serve` inserted if they name no command.
fn arguments() -> Vec<OsString> {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let first = arguments.get(1).and_then(|argument| argument.to_str());
    let about_the_program = ["-h", "--help", "-V", "--version"];
    if first.is_none_or(|first| first.starts_with('-') && !about_the_program.contains(&first)) {
        arguments.insert(1.min(arguments.len()), "serve".into());
    }
    arguments
}

impl Command {
    async fn run(self) -> Result<()> {
        match self {
            Self::Serve(settings) => serve::run(*settings).await,
            Self::Migrate(database) => {
                Database::open(&database).await?.close().await;
                Ok(())
            }
            Self::Schema => {
                print_line(concepts::sdl().trim_end());
                Ok(())
            }
            Self::Seed { json, database } => manage::seed(&database, json).await,
            Self::Company(command) => command.run().await,
            Self::Token(command) => command.run(),
            Self::ApiKey(command) => command.run().await,
            Self::SqlRole(command) => command.run().await,
        }
    }
}

/// Writes to standard output. That nobody reads it any more (`switchboard schema | head`) is no failure of the command.
fn print_line(text: impl Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// The configured data directory, or the platform's default.
fn data_dir(settings: &DatabaseSettings) -> Result<PathBuf> {
    settings.data_dir.clone().map_or_else(embedded::default_data_dir, Ok)
}

/// The secret that signs tokens: the configured one, or with an embedded Postgres the one in the data directory.
fn secret(database: &DatabaseSettings, auth: &AuthSettings) -> Result<Option<String>> {
    if auth.jwt_secret.is_some() || database.database_url.is_some() {
        return Ok(auth.jwt_secret.clone());
    }
    embedded::generated_secret(&data_dir(database)?).map(Some)
}

fn options_of(url: &str) -> Result<PgConnectOptions> {
    PgConnectOptions::from_str(url).map_err(|error| Error::invalid("DATABASE_URL", error))
}

/// Applies the missing migrations to the configured database, which `options` reach.
async fn migrate(settings: &DatabaseSettings, options: &PgConnectOptions) -> Result<()> {
    let is_embedded = settings.database_url.is_none();
    let directory = is_embedded.then(|| data_dir(settings)).transpose()?;
    db::migrate(options, directory.as_deref()).await
}

/// A migrated database for commands other than `serve`: the configured one, else the embedded one. The embedded one is
/// started for the duration of the command unless a server already runs it.
struct Database {
    work: UnitOfWork,
    embedded: Option<embedded::Embedded>,
}

impl Database {
    async fn open(settings: &DatabaseSettings) -> Result<Self> {
        let (options, embedded) = if let Some(url) = &settings.database_url {
            (options_of(url)?, None)
        } else {
            let directory = data_dir(settings)?;
            if let Some(options) = embedded::running(&directory)? {
                (options, None)
            } else {
                let embedded = embedded::start(&directory, settings.database_connections).await?;
                (embedded.options(), Some(embedded))
            }
        };
        migrate(settings, &options).await?;
        let pools = db::Pools::new(&db::connection_options(options, settings), settings);
        Ok(Self { work: UnitOfWork::detached(pools), embedded })
    }

    async fn close(self) {
        self.work.close().await;
        if let Some(embedded) = self.embedded {
            embedded.stop().await;
        }
    }
}
