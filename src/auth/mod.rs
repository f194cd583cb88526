//! Who is calling, and what that role may do.

mod authenticator;
mod principal;

pub use authenticator::Authenticator;
pub use principal::{Caller, Credential, Principal, Role};
