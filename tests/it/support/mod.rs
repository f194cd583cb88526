//! What the tests share: servers, clients, databases, faults, the documents of chats.

pub(crate) mod app;
pub(crate) mod chat;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod dice;
pub(crate) mod event_path;
pub(crate) mod invariants;
pub(crate) mod locks;
pub(crate) mod plans;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod socket;
pub(crate) mod statements;
pub(crate) mod widget;
