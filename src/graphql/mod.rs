//! The GraphQL layer: schema assembly, the document guard, scalars, the engine that transports call,
//! and the one driver of all subscriptions.

pub mod engine;
pub mod subscribe;
