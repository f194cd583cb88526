//! The GraphQL layer: from a request's text to a response, whatever the transport.
//!
//! ```text
//! prepare   text ─► cache ── miss ─► guard/lexer ─► parser ─► guard/measure ─► validation ─► literals ─► cache
//!           document, variables ─► variables ─► guard (page sizes) ─► Prepared
//! execute   Prepared ─► executor ─► error_response (with nulls) ─► OperationResponse
//! subscribe Prepared ─► executor ─► source ─► each message: render_cache, or execute
//! ```
//! Imports point down this list, never up:
//!
//! | file | what it does |
//! | --- | --- |
//! | [`engine`] | prepares, executes, subscribes: what transports call |
//! | [`source`], `executor`, `render_cache` | a subscription's source, async-graphql, renderings that are shared |
//! | `answer_size` | counts an answer while it is built |
//! | [`audience`], [`shown`], [`stream_event`] | for whom a message is executed, and what it shows of a record |
//! | `document` | prepared documents and their cache |
//! | `guard`, `literals`, `nul`, `variables` | checks before execution |
//! | [`error_response`], `nulls`, [`response`] | what clients receive |
//! | `types` | the schema's types, for all checks |
//!
//! [`page`], [`scalars`] and [`directives`] serve the resolvers.

mod answer_size;
pub mod audience;
pub mod context;
pub mod directives;
mod document;
pub mod engine;
pub mod error_response;
mod executor;
mod guard;
mod literals;
mod nul;
mod nulls;
pub mod page;
mod render_cache;
pub mod response;
pub mod scalars;
pub mod shown;
pub mod socket;
pub mod source;
pub mod stream_event;
mod types;
mod variables;

#[cfg(test)]
mod fixture;
