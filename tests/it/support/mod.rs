//! What tests stand on.

pub(crate) mod app;
pub(crate) mod cluster;
pub(crate) mod event_path;
pub(crate) mod proxy;
pub(crate) mod socket;
