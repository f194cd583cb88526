//! The callers of sockets: the caller that a credential proves, and the end of that credential.
//!
//! A trait, so that tests of the transport decide themselves which credentials are valid and when they expire, and can
//! show every close code without a database.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};

use crate::platform::auth::{Authenticator, Caller, Principal};

/// What a socket needs of authentication.
pub trait Authentication: Send + Sync + 'static {
    /// The caller that a credential proves; without a credential, the anonymous caller.
    fn caller(&self, bearer: Option<String>) -> BoxFuture<'static, Caller>;
    /// Completes when the principal's credential expires or is revoked, with the close reason. Never completes for a
    /// credential that does neither.
    fn expired(&self, principal: Arc<Principal>) -> BoxFuture<'static, String>;
}

impl Authentication for Authenticator {
    fn caller(&self, bearer: Option<String>) -> BoxFuture<'static, Caller> {
        let authenticator = self.clone();
        async move { Self::caller(&authenticator, bearer.as_deref()).await }.boxed()
    }

    fn expired(&self, principal: Arc<Principal>) -> BoxFuture<'static, String> {
        let authenticator = self.clone();
        async move { Self::expired(&authenticator, &principal).await }.boxed()
    }
}
