//! What every concept stands on. Nothing here names a concept: a test reads the imports and says so.
//!
//! - [`config`], [`error`], [`clock`], [`telemetry`]: knobs, codes, time and ids, logs
//! - [`db`]: the pools, migrations, embedded Postgres; [`unit`](mod@unit): one transaction and what happens with its commit;
//!   `batch`: many callers, one transaction; [`budget`]: how large one request's answers may become
//! - [`event`]: the log and its way to subscribers; [`subscription`]: how a stream is made from it
//! - [`timer`]: effects at a later time, also after a crash; [`service`]: whether servers live, and since when
//! - [`concept`]: what a concept registers; [`task`]: supervised background tasks
//! - [`auth`]: from a token to a principal; [`limit`]: how often one client may do what costs much
//! - [`graphql`], [`http`]: the engine and the transports

pub mod auth;
pub(crate) mod batch;
pub mod budget;
pub mod clock;
pub mod concept;
pub mod config;
pub mod db;
pub mod error;
pub mod event;
pub mod graphql;
pub mod http;
pub mod input;
pub mod limit;
pub mod service;
pub mod subscription;
pub mod task;
pub mod telemetry;
pub mod timer;
pub mod unit;
