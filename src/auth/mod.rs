//! Who is calling, and what that role may do.

mod principal;

pub use principal::{Caller, Credential, Principal, Role};
