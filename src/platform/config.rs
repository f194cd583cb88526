//! All settings. Each is a command-line flag and an environment variable, with a default and bounds.
//!
//! Durations are written as `250ms`, `30s`, `5m`, `24h` or `365d`. The server does not start with a value out of
//! bounds.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use clap::{
    Args,
    builder::{NonEmptyStringValueParser, RangedU64ValueParser},
};
use ipnet::IpNet;

/// The database: its address, the number of connections, timeouts.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseSettings {
    /// URL of a Postgres 15 or newer [default: an embedded Postgres in the data directory]
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Directory of the embedded Postgres and the generated secret [default: /var/lib/switchboard as root, else the
    /// platform's data directory]
    #[arg(long, env = "SWITCHBOARD_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Connections for requests, half of them for batches of writes (2 to 1,000); the scheduler of timers, the event log
    /// and its retention have a few of their own
    #[arg(long, env = "SWITCHBOARD_DATABASE_CONNECTIONS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    pub database_connections: u32,
    /// Longest wait for a free connection, then UNAVAILABLE
    #[arg(long, env = "SWITCHBOARD_DATABASE_ACQUIRE_TIMEOUT", default_value = "5s", value_parser = duration(1..=60_000))]
    pub database_acquire_timeout: Duration,
    /// Longest time of a single statement. A connection that is in use for a second longer is closed: its link is frozen
    #[arg(long, env = "SWITCHBOARD_STATEMENT_TIMEOUT", default_value = "15s", value_parser = duration(100..=600_000))]
    pub statement_timeout: Duration,
    /// Longest wait for a row lock
    #[arg(long, env = "SWITCHBOARD_LOCK_TIMEOUT", default_value = "5s", value_parser = duration(10..=600_000))]
    pub lock_timeout: Duration,
    /// Most connections that one caller's lists are read on at once (1 to 1,000); its further reads wait, those of others
    /// do not
    #[arg(long, env = "SWITCHBOARD_READ_SHARE", default_value_t = 2, value_parser = size(1..=1_000))]
    pub read_share: usize,
    /// Most calls of one company and kind, or of one record, that may wait for a batch; beyond it `RATE_LIMITED`. One
    /// caller may have half of them
    #[arg(long, env = "SWITCHBOARD_BATCH_QUEUE", default_value_t = 4_000, value_parser = size(2..=1_000_000))]
    pub batch_queue: usize,
    /// Keep one plan for each statement of a batch, whatever its values; to be turned off on a distributed Postgres
    #[arg(long, env = "SWITCHBOARD_GENERIC_PLANS", default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub generic_plans: bool,
    /// How long the outcome of a call with an idempotency key is kept
    #[arg(long, env = "SWITCHBOARD_IDEMPOTENCY_RETENTION", default_value = "24h", value_parser = duration(60_000..=31_536_000_000))]
    pub idempotency_retention: Duration,
}

/// How credentials are checked and issued.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Credentials")]
pub struct AuthSettings {
    /// HS256 secret, at least 32 bytes [default: with an embedded Postgres, a secret generated once into the data
    /// directory]
    #[arg(long, env = "SWITCHBOARD_JWT_SECRET", hide_env_values = true)]
    pub jwt_secret: Option<String>,
    /// File or URL of a JWKS with verification keys: RS256, ES256, EdDSA
    #[arg(long, env = "SWITCHBOARD_JWKS")]
    pub jwks: Option<String>,
    /// Interval between two reads of the JWKS
    #[arg(long, env = "SWITCHBOARD_JWKS_REFRESH", default_value = "5m", value_parser = duration(1_000..=86_400_000))]
    pub jwks_refresh: Duration,
    /// Audience of tokens: demanded of every token (claim `aud`), and put into those that this server signs [default: not
    /// checked]
    #[arg(long, env = "SWITCHBOARD_JWT_AUDIENCE", value_parser = NonEmptyStringValueParser::new())]
    pub jwt_audience: Option<String>,
    /// Issuer of tokens: demanded of every token (claim `iss`), and put into those that this server signs [default: not
    /// checked]
    #[arg(long, env = "SWITCHBOARD_JWT_ISSUER", value_parser = NonEmptyStringValueParser::new())]
    pub jwt_issuer: Option<String>,
    /// Development mode: anonymous callers act as the demo company's service; requires a loopback address
    #[arg(long, env = "SWITCHBOARD_DEV", default_value_t = false, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub dev: bool,
    /// Lifetime of a visitor's token
    #[arg(long, env = "SWITCHBOARD_CONSUMER_TOKEN_TTL", default_value = "365d", value_parser = duration(60_000..=315_360_000_000))]
    pub consumer_token_ttl: Duration,
}

/// HTTP and WebSocket: the listening address, and the limits of one client.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP and WebSocket")]
pub struct HttpSettings {
    /// Address to listen on; with port 0 the system picks a free port, which is printed
    #[arg(long, env = "SWITCHBOARD_LISTEN", default_value = "127.0.0.1:4000")]
    pub listen: SocketAddr,
    /// Address of a listener of its own for /metrics, /live and /ready; /metrics is then not on the other one [default:
    /// /metrics is on the address that serves requests]
    #[arg(long, env = "SWITCHBOARD_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    /// Largest head of a request (its first line and headers), in bytes. It bounds the document of a GET as well, in
    /// its URL-encoded form; longer documents are sent by POST
    #[arg(long, env = "SWITCHBOARD_HEADER_LIMIT", default_value_t = 32_768, value_parser = size(8_192..=1_048_576))]
    pub header_limit: usize,
    /// Largest request body and largest WebSocket message, in bytes
    #[arg(long, env = "SWITCHBOARD_BODY_LIMIT", default_value_t = 1_048_576, value_parser = size(1_024..=67_108_864))]
    pub body_limit: usize,
    /// Longest time to read a request's head, and to read its body
    #[arg(long, env = "SWITCHBOARD_READ_TIMEOUT", default_value = "30s", value_parser = duration(100..=600_000))]
    pub read_timeout: Duration,
    /// Most requests in one batch; 1 turns batching off
    #[arg(long, env = "SWITCHBOARD_BATCH_LIMIT", default_value_t = 10, value_parser = size(1..=100))]
    pub batch_limit: usize,
    /// Most open connections on this server, WebSockets included. Lowered at start, with a warning, to what the process's
    /// limit on open files leaves
    #[arg(long, env = "SWITCHBOARD_CONNECTION_LIMIT", default_value_t = 30_000, value_parser = size(1..=1_000_000))]
    pub connection_limit: usize,
    /// Most open connections of one address (of IPv6: one /64 network) that have not shown a valid credential. Connections
    /// of a trusted proxy do not count, but WebSockets through it do, for their clients' addresses
    #[arg(long, env = "SWITCHBOARD_UNPROVEN_LIMIT", default_value_t = 500, value_parser = size(1..=1_000_000))]
    pub unproven_limit: usize,
    /// Most open WebSockets on this server; lowered at start to the limit on connections
    #[arg(long, env = "SWITCHBOARD_SOCKET_LIMIT", default_value_t = 20_000, value_parser = size(1..=1_000_000))]
    pub socket_limit: usize,
    /// Most open operations on one WebSocket
    #[arg(long, env = "SWITCHBOARD_SUBSCRIPTION_LIMIT", default_value_t = 100, value_parser = size(1..=10_000))]
    pub subscription_limit: usize,
    /// Longest wait for `connection_init`, then close code 4408
    #[arg(long, env = "SWITCHBOARD_INIT_TIMEOUT", default_value = "10s", value_parser = duration(10..=600_000))]
    pub init_timeout: Duration,
    /// A WebSocket without a credential is closed with 1001 when it has run no operation for this time
    #[arg(long, env = "SWITCHBOARD_ANONYMOUS_IDLE", default_value = "60s", value_parser = duration(10..=86_400_000))]
    pub anonymous_idle: Duration,
    /// Interval of pings on an idle WebSocket
    #[arg(long, env = "SWITCHBOARD_PING_EVERY", default_value = "20s", value_parser = duration(10..=600_000))]
    pub ping_every: Duration,
    /// A WebSocket that has received nothing for this time is dropped
    #[arg(long, env = "SWITCHBOARD_SILENCE_LIMIT", default_value = "60s", value_parser = duration(20..=3_600_000))]
    pub silence_limit: Duration,
    /// Bytes that may wait to be sent to one client; while the queue is full, its subscriptions pause, then re-read the
    /// log
    #[arg(long, env = "SWITCHBOARD_SEND_QUEUE", default_value_t = 1_048_576, value_parser = size(1_024..=67_108_864))]
    pub send_queue: usize,
    /// A WebSocket client that has taken nothing from its full queue for this time is closed with 1013; an HTTP connection
    /// is closed when the client has taken nothing of a response for this time
    #[arg(long, env = "SWITCHBOARD_SEND_TIMEOUT", default_value = "10s", value_parser = duration(10..=600_000))]
    pub send_timeout: Duration,
    /// Bytes of responses that one HTTP connection may hold unsent; beyond that the next response is `RATE_LIMITED`. One
    /// response alone may be larger
    #[arg(long, env = "SWITCHBOARD_UNSENT_LIMIT", default_value_t = 33_554_432, value_parser = size(65_536..=1_073_741_824))]
    pub unsent_limit: usize,
    /// Bytes of responses that all HTTP connections together may hold unsent; beyond that the connections that have been
    /// stuck longest are closed
    #[arg(long, env = "SWITCHBOARD_UNSENT_TOTAL", default_value_t = 268_435_456, value_parser = size(65_536..=68_719_476_736))]
    pub unsent_total: usize,
    /// `/ready` is 503 when the event log or the timers were last looked at longer ago than this
    #[arg(long, env = "SWITCHBOARD_READY_AGE", default_value = "10s", value_parser = duration(100..=600_000))]
    pub ready_age: Duration,
    /// Longest time that open requests have to finish at shutdown
    #[arg(long, env = "SWITCHBOARD_DRAIN_TIMEOUT", default_value = "10s", value_parser = duration(0..=600_000))]
    pub drain_timeout: Duration,
    /// Browser origins that may call, in addition to those of the websites, comma-separated
    #[arg(long, env = "SWITCHBOARD_ALLOWED_ORIGINS", value_delimiter = ',')]
    pub allowed_origins: Vec<String>,
    /// Proxies in front of this server, as addresses or networks, comma-separated; their X-Forwarded-For gives the
    /// client's address
    #[arg(long, env = "SWITCHBOARD_TRUSTED_PROXIES", value_delimiter = ',', value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,
    /// How often one client may do what costs much.
    #[command(flatten)]
    pub rates: RateSettings,
}

/// Rate limits. Each lets a number of events pass at once, then so many in a second; 0 at once turns it off. Callers of
/// the roles service and admin have none.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Rate limits")]
pub struct RateSettings {
    /// Mutation fields of one caller at once, then `RATE_LIMITED`; 0: no limit
    #[arg(long, env = "SWITCHBOARD_WRITES_AT_ONCE", default_value_t = 300, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub writes_at_once: u32,
    /// Mutation fields of one caller in a second after that
    #[arg(long, env = "SWITCHBOARD_WRITES_PER_SECOND", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub writes_per_second: u32,
    /// Mutation fields of all visitors from one address (of IPv6: one /64 network) at once, then `RATE_LIMITED`; 0: no
    /// limit. A visitor can log in again and again under new names
    #[arg(long, env = "SWITCHBOARD_VISITOR_WRITES_AT_ONCE", default_value_t = 1_500, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub visitor_writes_at_once: u32,
    /// Mutation fields of all visitors from one address in a second after that
    #[arg(long, env = "SWITCHBOARD_VISITOR_WRITES_PER_SECOND", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub visitor_writes_per_second: u32,
    /// Logins from one address (of IPv6: one /64 network) at once, then `RATE_LIMITED`; 0: no limit
    #[arg(long, env = "SWITCHBOARD_LOGINS_AT_ONCE", default_value_t = 300, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub logins_at_once: u32,
    /// Logins from one address in a second after that
    #[arg(long, env = "SWITCHBOARD_LOGINS_PER_SECOND", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub logins_per_second: u32,
    /// Messages and pings of one WebSocket at once, then it is closed with 1013; 0: no limit
    #[arg(long, env = "SWITCHBOARD_FRAMES_AT_ONCE", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub frames_at_once: u32,
    /// Messages and pings of one WebSocket in a second after that
    #[arg(long, env = "SWITCHBOARD_FRAMES_PER_SECOND", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub frames_per_second: u32,
}

/// Limits on one GraphQL document, checked before execution. Over a limit the code is `QUERY_TOO_COMPLEX`, or
/// `PAYLOAD_TOO_LARGE` for bytes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Document guard")]
pub struct GuardSettings {
    /// Most bytes of one document
    #[arg(long, env = "SWITCHBOARD_DOCUMENT_BYTES", default_value_t = 65_536, value_parser = size(64..=1_048_576))]
    pub document_bytes: usize,
    /// Most lexical tokens and comments of one document (the standard introspection query has about 400)
    #[arg(long, env = "SWITCHBOARD_DOCUMENT_TOKENS", default_value_t = 2_000, value_parser = size(16..=100_000))]
    pub document_tokens: usize,
    /// Deepest nesting of fields, fragments expanded
    #[arg(long, env = "SWITCHBOARD_DOCUMENT_DEPTH", default_value_t = 16, value_parser = size(2..=100))]
    pub document_depth: usize,
    /// Most aliases, fragments expanded
    #[arg(long, env = "SWITCHBOARD_DOCUMENT_ALIASES", default_value_t = 100, value_parser = size(0..=10_000))]
    pub document_aliases: usize,
    /// Most root fields of the operation, fragments expanded
    #[arg(long, env = "SWITCHBOARD_DOCUMENT_ROOT_FIELDS", default_value_t = 20, value_parser = size(1..=1_000))]
    pub document_root_fields: usize,
    /// Most directives, fragments expanded
    #[arg(long, env = "SWITCHBOARD_DOCUMENT_DIRECTIVES", default_value_t = 50, value_parser = size(0..=1_000))]
    pub document_directives: usize,
    /// Highest cost of one request, all documents of a batch together: each field costs 1 (`__typename` included), or
    /// what `@cost` in the schema says, multiplied by the sizes of the lists around it: their pages, else `@listSize`
    #[arg(long, env = "SWITCHBOARD_DOCUMENT_COST", default_value_t = 50_000, value_parser = size(10..=10_000_000))]
    pub document_cost: usize,
    /// Who may ask for the schema (introspection); in development mode everybody acts as the company
    #[arg(long, env = "SWITCHBOARD_INTROSPECTION", default_value = "company")]
    pub introspection: Introspection,
    /// Most bytes of one answer, all answers of a batch together, then `PAYLOAD_TOO_LARGE`; also bounds the rows that are
    /// read for it
    #[arg(long, env = "SWITCHBOARD_RESPONSE_LIMIT", default_value_t = 16_777_216, value_parser = size(1_024..=1_073_741_824))]
    pub response_limit: usize,
    /// Longest time of one query or mutation, then `UNAVAILABLE`; bounds the wait for a database that does not respond
    #[arg(long, env = "SWITCHBOARD_EXECUTION_TIMEOUT", default_value = "30s", value_parser = duration(100..=600_000))]
    pub execution_timeout: Duration,
    /// Size of the cache of parsed and validated documents, in bytes of their text; 0 turns it off
    #[arg(long, env = "SWITCHBOARD_DOCUMENT_CACHE", default_value_t = 4_194_304, value_parser = size(0..=268_435_456))]
    pub document_cache: usize,
}

/// Who may ask for the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Introspection {
    /// Nobody may, whoever asks.
    Off,
    /// The roles service and admin.
    Company,
    /// Callers with a credential of any role.
    Credential,
}

/// The event log and how its events reach subscribers.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Events")]
pub struct EventSettings {
    /// How long events are kept; resuming from an older cursor is a resync
    #[arg(long, env = "SWITCHBOARD_EVENT_RETENTION", default_value = "24h", value_parser = duration(60_000..=31_536_000_000))]
    pub event_retention: Duration,
    /// Shortest interval between two wake-ups that this server sends to the others
    #[arg(long, env = "SWITCHBOARD_NOTIFY_EVERY", default_value = "2ms", value_parser = duration(0..=1_000))]
    pub notify_every: Duration,
    /// Interval at which the log is read without a wake-up, in case one is lost or the writer sends none; for a second after
    /// such an event, at most 20ms
    #[arg(long, env = "SWITCHBOARD_EVENT_POLL", default_value = "250ms", value_parser = duration(10..=60_000))]
    pub event_poll: Duration,
    /// A listener that has received nothing for this time, not even its own probe, is replaced
    #[arg(long, env = "SWITCHBOARD_LISTENER_PROBE", default_value = "5s", value_parser = duration(50..=60_000))]
    pub listener_probe: Duration,
    /// Events that may wait for one subscription; beyond that it re-reads the log, page by page
    #[arg(long, env = "SWITCHBOARD_SUBSCRIPTION_QUEUE", default_value_t = 256, value_parser = size(1..=65_536))]
    pub subscription_queue: usize,
    /// Memory for the new events of one read of the log, in bytes; if a transaction wrote more that subscriptions want, they
    /// read it from the log themselves, page by page
    #[arg(long, env = "SWITCHBOARD_READ_MEMORY", default_value_t = 16_777_216, value_parser = size(65_536..=1_073_741_824))]
    pub read_memory: usize,
    /// Most events that one resume (`after`) replays, and the page size of a slow subscription's re-reading; a longer
    /// resume sends the present state with `resync: true`
    #[arg(long, env = "SWITCHBOARD_REPLAY_LIMIT", default_value_t = 10_000, value_parser = size(10..=1_000_000))]
    pub replay_limit: usize,
    /// Streams that read their state or the log at once, each with a connection, at most a quarter of those that
    /// requests use; the others wait in line
    #[arg(long, env = "SWITCHBOARD_STREAM_READS", default_value_t = 4, value_parser = size(1..=1_000))]
    pub stream_reads: usize,
    /// Longest time of one such read, then its connection is closed and the stream ends with UNAVAILABLE; an open stream
    /// tries again
    #[arg(long, env = "SWITCHBOARD_STREAM_READ_TIMEOUT", default_value = "20s", value_parser = duration(100..=600_000))]
    pub stream_read_timeout: Duration,
}

/// Durable timers.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Timers")]
pub struct TimerSettings {
    /// Interval at which due timers are looked for without a wake-up, such as those of a server that died
    #[arg(long, env = "SWITCHBOARD_TIMER_POLL", default_value = "1s", value_parser = duration(10..=60_000))]
    pub timer_poll: Duration,
    /// A timer by which people are given time, such as a chat's miss or a race's expiry, that came due while no server
    /// lived fires this long after service resumed
    #[arg(long, env = "SWITCHBOARD_RESUME_GRACE", default_value = "10s", value_parser = duration(0..=3_600_000))]
    pub resume_grace: Duration,
}

/// A parser of durations within `bounds`, in milliseconds.
pub(crate) fn duration(bounds: RangeInclusive<u64>) -> impl Fn(&str) -> Result<Duration, String> + Clone {
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

/// A parser of counts and numbers of bytes within `bounds`.
pub(crate) fn size(
    bounds: RangeInclusive<u64>,
) -> clap::builder::MapValueParser<RangedU64ValueParser<u64>, fn(u64) -> usize> {
    use clap::builder::TypedValueParser;
    RangedU64ValueParser::<u64>::new().range(bounds).map(|n| usize::try_from(n).unwrap_or(usize::MAX))
}
