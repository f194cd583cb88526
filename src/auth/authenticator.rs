//! Turns what arrived with a request into a [`Caller`].

use std::sync::Arc;

use super::{Caller, Principal};

/// Checks tokens and API keys. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator {}

impl Authenticator {
    /// The caller that `bearer` (a token or an API key, without the word "Bearer") proves;
    /// `None` is anonymous, or the demo company's service in development mode.
    pub async fn caller(&self, bearer: Option<&str>) -> Caller {
        let _ = bearer;
        unimplemented!()
    }

    /// Returns when the principal's credential has lapsed (expired, revoked), with the reason for its sockets.
    /// Never returns for one that does not lapse.
    pub async fn lapse(&self, principal: &Arc<Principal>) -> String {
        let _ = principal;
        unimplemented!()
    }
}
