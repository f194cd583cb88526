//! Who calls over a socket, and for how long. The one seam of the transport: its tests decide here which
//! credentials are good and when they expire, so that every close code is proved without a database.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};

use crate::platform::auth::{Authenticator, Caller, Principal};

/// Knows callers.
pub trait Callers: Send + Sync + 'static {
    /// The caller that a credential proves; `None` is anonymous.
    fn caller(&self, bearer: Option<String>) -> BoxFuture<'static, Caller>;
    /// Ends when the principal's credential has expired, with the reason.
    fn expired(&self, principal: Arc<Principal>) -> BoxFuture<'static, String>;
}

impl Callers for Authenticator {
    fn caller(&self, bearer: Option<String>) -> BoxFuture<'static, Caller> {
        let authenticator = self.clone();
        async move { Self::caller(&authenticator, bearer.as_deref()).await }.boxed()
    }

    fn expired(&self, principal: Arc<Principal>) -> BoxFuture<'static, String> {
        let authenticator = self.clone();
        async move { Self::expired(&authenticator, &principal).await }.boxed()
    }
}
