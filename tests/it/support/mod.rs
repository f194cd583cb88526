//! What tests stand on.

pub(crate) mod cluster;
pub(crate) mod socket;
