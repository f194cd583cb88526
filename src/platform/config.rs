//! Every knob: what it does, its default, its unit, its bounds. A flag and an environment variable each.
//!
//! Durations read as `250ms`, `30s`, `5m`, `24h`, `365d`. A value out of bounds is refused at start.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use clap::{Args, builder::RangedU64ValueParser};
use ipnet::IpNet;

/// All settings of `serve`; other commands use the parts they need.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// Tokens and keys.
    #[command(flatten)]
    pub auth: AuthSettings,
    /// HTTP and WebSocket.
    #[command(flatten)]
    pub http: HttpSettings,
    /// What a GraphQL document may cost.
    #[command(flatten)]
    pub guard: GuardSettings,
    /// The event log and its delivery.
    #[command(flatten)]
    pub event: EventSettings,
    /// Durable timers.
    #[command(flatten)]
    pub timer: TimerSettings,
    /// Chats and races.
    #[command(flatten)]
    pub chat: ChatSettings,
}

/// The database: where it is, how many connections.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseSettings {
    /// Postgres 15 or newer to use; unset: an embedded Postgres in the data directory
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Embedded Postgres and the generated secret [default: /var/lib/switchboard as root, else the platform's data directory]
    #[arg(long, env = "SWITCHBOARD_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Connections to the database for requests (2 to 1,000)
    #[arg(long, env = "SWITCHBOARD_DATABASE_CONNECTIONS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    pub database_connections: u32,
    /// Longest wait for a free connection before a request is answered UNAVAILABLE
    #[arg(long, env = "SWITCHBOARD_DATABASE_ACQUIRE_TIMEOUT", default_value = "5s", value_parser = duration(1..=60_000))]
    pub database_acquire_timeout: Duration,
    /// Longest single statement
    #[arg(long, env = "SWITCHBOARD_STATEMENT_TIMEOUT", default_value = "15s", value_parser = duration(100..=600_000))]
    pub statement_timeout: Duration,
    /// Longest wait for a row lock
    #[arg(long, env = "SWITCHBOARD_LOCK_TIMEOUT", default_value = "5s", value_parser = duration(10..=600_000))]
    pub lock_timeout: Duration,
}

/// Who may call, and how tokens are checked and issued.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Who may call")]
pub struct AuthSettings {
    /// HS256 secret, at least 32 bytes; unset: generated once into the data directory when Postgres is embedded
    #[arg(long, env = "SWITCHBOARD_JWT_SECRET", hide_env_values = true)]
    pub jwt_secret: Option<String>,
    /// File or URL with verification keys (JWKS): RS256, ES256, EdDSA
    #[arg(long, env = "SWITCHBOARD_JWKS")]
    pub jwks: Option<String>,
    /// How often a JWKS is read again
    #[arg(long, env = "SWITCHBOARD_JWKS_REFRESH", default_value = "5m", value_parser = duration(1_000..=86_400_000))]
    pub jwks_refresh: Duration,
    /// Anonymous callers act as the demo company's service; only on a loopback address
    #[arg(long, env = "SWITCHBOARD_DEV", default_value_t = false, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub dev: bool,
    /// Life of a visitor's token
    #[arg(long, env = "SWITCHBOARD_CONSUMER_TOKEN_TTL", default_value = "365d", value_parser = duration(60_000..=315_360_000_000))]
    pub consumer_token_ttl: Duration,
}

/// HTTP and WebSocket: where to listen and what one client may use up.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP and WebSocket")]
pub struct HttpSettings {
    /// Address to listen on; port 0 picks a free one and prints it
    #[arg(long, env = "SWITCHBOARD_LISTEN", default_value = "127.0.0.1:4000")]
    pub listen: SocketAddr,
    /// Largest request body and largest WebSocket message, in bytes
    #[arg(long, env = "SWITCHBOARD_BODY_LIMIT", default_value_t = 1_048_576, value_parser = size(1_024..=67_108_864))]
    pub body_limit: usize,
    /// Longest time that reading one request's head or body may take
    #[arg(long, env = "SWITCHBOARD_READ_TIMEOUT", default_value = "30s", value_parser = duration(100..=600_000))]
    pub read_timeout: Duration,
    /// Most requests in one batched body; 1 turns batching off
    #[arg(long, env = "SWITCHBOARD_BATCH_LIMIT", default_value_t = 10, value_parser = size(1..=100))]
    pub batch_limit: usize,
    /// Most open WebSockets of this server
    #[arg(long, env = "SWITCHBOARD_SOCKET_LIMIT", default_value_t = 20_000, value_parser = size(1..=1_000_000))]
    pub socket_limit: usize,
    /// Most operations under way on one WebSocket
    #[arg(long, env = "SWITCHBOARD_SUBSCRIPTION_LIMIT", default_value_t = 100, value_parser = size(1..=10_000))]
    pub subscription_limit: usize,
    /// Longest wait for `connection_init`, then close code 4408
    #[arg(long, env = "SWITCHBOARD_INIT_TIMEOUT", default_value = "10s", value_parser = duration(10..=600_000))]
    pub init_timeout: Duration,
    /// How often an idle WebSocket is pinged
    #[arg(long, env = "SWITCHBOARD_PING_EVERY", default_value = "20s", value_parser = duration(10..=600_000))]
    pub ping_every: Duration,
    /// A WebSocket from which nothing came for so long is dropped
    #[arg(long, env = "SWITCHBOARD_SILENCE_LIMIT", default_value = "60s", value_parser = duration(20..=3_600_000))]
    pub silence_limit: Duration,
    /// Bytes that may wait for one slow reader; while it is full, its subscriptions fall back to re-reading the log
    #[arg(long, env = "SWITCHBOARD_SEND_QUEUE", default_value_t = 1_048_576, value_parser = size(1_024..=67_108_864))]
    pub send_queue: usize,
    /// A reader that took nothing from a full queue for so long is closed with 1013
    #[arg(long, env = "SWITCHBOARD_SEND_TIMEOUT", default_value = "10s", value_parser = duration(10..=600_000))]
    pub send_timeout: Duration,
    /// Longest time that open requests get to finish at shutdown
    #[arg(long, env = "SWITCHBOARD_DRAIN_TIMEOUT", default_value = "10s", value_parser = duration(0..=600_000))]
    pub drain_timeout: Duration,
    /// Browser origins that may call besides the websites' own, comma-separated
    #[arg(long, env = "SWITCHBOARD_ALLOWED_ORIGINS", value_delimiter = ',')]
    pub allowed_origins: Vec<String>,
    /// Proxies in front, as addresses or networks, comma-separated; behind them a client's address is read from X-Forwarded-For
    #[arg(long, env = "SWITCHBOARD_TRUSTED_PROXIES", value_delimiter = ',', value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,
}

/// What one GraphQL document may cost before it is executed. Over a limit: `QUERY_TOO_COMPLEX`
/// (`PAYLOAD_TOO_LARGE` for bytes).
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Document guard")]
pub struct GuardSettings {
    /// Bytes of one document
    #[arg(long, env = "SWITCHBOARD_DOCUMENT_BYTES", default_value_t = 65_536, value_parser = size(64..=1_048_576))]
    pub document_bytes: usize,
    /// Lexical tokens and comments of one document (the standard introspection query has about 400)
    #[arg(long, env = "SWITCHBOARD_DOCUMENT_TOKENS", default_value_t = 2_000, value_parser = size(16..=100_000))]
    pub document_tokens: usize,
    /// Depth of fields, fragments expanded
    #[arg(long, env = "SWITCHBOARD_DOCUMENT_DEPTH", default_value_t = 16, value_parser = size(2..=100))]
    pub document_depth: usize,
    /// Aliases, fragments expanded
    #[arg(long, env = "SWITCHBOARD_DOCUMENT_ALIASES", default_value_t = 100, value_parser = size(0..=10_000))]
    pub document_aliases: usize,
    /// Root fields of the operation, fragments expanded
    #[arg(long, env = "SWITCHBOARD_DOCUMENT_ROOT_FIELDS", default_value_t = 20, value_parser = size(1..=1_000))]
    pub document_root_fields: usize,
    /// Directives, fragments expanded
    #[arg(long, env = "SWITCHBOARD_DOCUMENT_DIRECTIVES", default_value_t = 50, value_parser = size(0..=1_000))]
    pub document_directives: usize,
    /// Cost: one for each field, `__typename` too, multiplied by the page size of the lists around it
    #[arg(long, env = "SWITCHBOARD_DOCUMENT_COST", default_value_t = 20_000, value_parser = size(10..=10_000_000))]
    pub document_cost: usize,
    /// Longest time that one query or mutation may run, then `UNAVAILABLE`: a database that answers nothing holds nobody
    #[arg(long, env = "SWITCHBOARD_EXECUTION_TIMEOUT", default_value = "30s", value_parser = duration(100..=600_000))]
    pub execution_timeout: Duration,
    /// Prepared (parsed and validated) documents kept, in bytes of their text
    #[arg(long, env = "SWITCHBOARD_DOCUMENT_CACHE", default_value_t = 4_194_304, value_parser = size(0..=268_435_456))]
    pub document_cache: usize,
}

/// The event log and how its events reach subscribers.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Events")]
pub struct EventSettings {
    /// How long events are kept; a cursor older than that gets a resync
    #[arg(long, env = "SWITCHBOARD_EVENT_RETENTION", default_value = "24h", value_parser = duration(60_000..=31_536_000_000))]
    pub event_retention: Duration,
    /// Shortest time between two wake-ups that one server sends to the others
    #[arg(long, env = "SWITCHBOARD_NOTIFY_EVERY", default_value = "2ms", value_parser = duration(0..=1_000))]
    pub notify_every: Duration,
    /// The log is read this often also without a wake-up; covers a lost one, and writers that are not this server
    #[arg(long, env = "SWITCHBOARD_EVENT_POLL", default_value = "250ms", value_parser = duration(10..=60_000))]
    pub event_poll: Duration,
    /// A listener that heard nothing, not even its own probe, for so long is replaced
    #[arg(long, env = "SWITCHBOARD_LISTENER_PROBE", default_value = "5s", value_parser = duration(50..=60_000))]
    pub listener_probe: Duration,
    /// Events that may wait for one subscription before it falls back to re-reading the log, page by page
    #[arg(long, env = "SWITCHBOARD_SUBSCRIPTION_QUEUE", default_value_t = 256, value_parser = size(1..=65_536))]
    pub subscription_queue: usize,
    /// Most events that one resume (`after`) replays; beyond it the present state is sent again with `resync: true`. A page of a slow subscription's re-reading is no larger either
    #[arg(long, env = "SWITCHBOARD_REPLAY_LIMIT", default_value_t = 10_000, value_parser = size(10..=1_000_000))]
    pub replay_limit: usize,
}

/// Durable timers.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Timers")]
pub struct TimerSettings {
    /// Due timers are looked for this often also without a wake-up; covers those that another server set before it died
    #[arg(long, env = "SWITCHBOARD_TIMER_POLL", default_value = "1s", value_parser = duration(10..=60_000))]
    pub timer_poll: Duration,
}

/// Chats and races.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Chats")]
pub struct ChatSettings {
    /// A race with no answer expires after this time, unless told otherwise when it is created
    #[arg(long, env = "SWITCHBOARD_RACE_CAP", default_value = "5m", value_parser = duration(1_000..=86_400_000))]
    pub race_cap: Duration,
    /// Most contracts that one race is offered to
    #[arg(long, env = "SWITCHBOARD_RACE_CONTRACTS", default_value_t = 100, value_parser = size(1..=1_000))]
    pub race_contracts: usize,
    /// A winner whose side ends the chat so soon, before it said anything, gives way: the other offers of a createChatRace go out again; 0s turns this off
    #[arg(long, env = "SWITCHBOARD_REOFFER_GRACE", default_value = "30s", value_parser = duration(0..=3_600_000))]
    pub reoffer_grace: Duration,
    /// Widgets without a token may subscribe to chatChanged: they see chats that were asked for from their own address. In development mode they always may
    #[arg(long, env = "SWITCHBOARD_ANONYMOUS_WIDGETS", default_value_t = false, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub anonymous_widgets: bool,
}

/// Parses a duration and holds it to `bounds`, in milliseconds.
fn duration(bounds: RangeInclusive<u64>) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| {
        let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        if bounds.contains(&ms) {
            return Ok(duration);
        }
        let [low, high] =
            [bounds.start(), bounds.end()].map(|ms| humantime::format_duration(Duration::from_millis(*ms)));
        Err(format!("must be between {low} and {high}"))
    }
}

/// Parses an address or a network.
fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let address = text.parse::<std::net::IpAddr>().map(IpNet::from);
    address.or_else(|_| text.parse()).map_err(|_| "must be an address or a network such as 10.0.0.0/8".to_owned())
}

/// Parses a count or a number of bytes within `bounds`.
fn size(bounds: RangeInclusive<u64>) -> clap::builder::MapValueParser<RangedU64ValueParser<u64>, fn(u64) -> usize> {
    use clap::builder::TypedValueParser;
    RangedU64ValueParser::<u64>::new().range(bounds).map(|n| usize::try_from(n).unwrap_or(usize::MAX))
}
