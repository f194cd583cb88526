//! The GraphQL layer: schema assembly, the document guard, scalars, the engine that transports call,
//! and the one driver of all subscriptions.
//!
//! ```text
//! text ─ cache ─► guard/lexer ─► parser ─► guard/measure ─► validation ─► literals ─► document (cached)
//! document + variables ─► variables ─► guard (page sizes) ─► Prepared ─► execute / stream ─► nulls ─► wire
//! ```

pub mod context;
mod document;
pub mod engine;
mod guard;
mod literals;
mod nulls;
pub mod page;
pub mod scalars;
pub mod shared;
pub mod source;
mod types;
mod variables;
mod wire;

#[cfg(test)]
mod engine_tests;
#[cfg(test)]
mod fixture;
