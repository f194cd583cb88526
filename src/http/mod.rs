//! Everything that speaks HTTP.

pub mod websocket;
