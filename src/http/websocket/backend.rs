//! What a socket asks of the rest of the server. The one seam of the transport: its tests put a small schema
//! here, so that every close code is proved without a database.

use std::sync::Arc;

use async_graphql::{Response, ServerError, parser::types::OperationType};
use futures_util::{FutureExt, future::BoxFuture, stream::BoxStream};

use crate::{
    auth::{Authenticator, Caller, Principal},
    graphql::engine::{Engine, GraphqlRequest},
};

/// An operation that has begun.
pub struct Started {
    /// One response for a query or mutation, any number for a subscription.
    pub responses: BoxStream<'static, Response>,
    /// True for a query or mutation: the drain of a server waits for it.
    pub single: bool,
}

/// Knows callers and runs operations.
pub trait Backend: Send + Sync + 'static {
    /// The caller that a credential proves; `None` is anonymous.
    fn caller(&self, bearer: Option<String>) -> BoxFuture<'static, Caller>;
    /// Ends when the principal's credential has lapsed, with the reason.
    fn lapse(&self, principal: Arc<Principal>) -> BoxFuture<'static, String>;
    /// Begins an operation.
    ///
    /// # Errors
    /// What is wrong with the request, when nothing of it is executed.
    fn start(&self, request: GraphqlRequest, caller: &Caller) -> Result<Started, Vec<ServerError>>;
}

/// The server itself.
pub(super) struct Live {
    pub(super) engine: Engine,
    pub(super) authenticator: Authenticator,
}

impl Backend for Live {
    fn caller(&self, bearer: Option<String>) -> BoxFuture<'static, Caller> {
        let authenticator = self.authenticator.clone();
        async move { authenticator.caller(bearer.as_deref()).await }.boxed()
    }

    fn lapse(&self, principal: Arc<Principal>) -> BoxFuture<'static, String> {
        let authenticator = self.authenticator.clone();
        async move { authenticator.lapse(&principal).await }.boxed()
    }

    fn start(&self, request: GraphqlRequest, caller: &Caller) -> Result<Started, Vec<ServerError>> {
        let prepared = self.engine.prepare(request).map_err(|refusal| refusal.response.errors)?;
        let single = prepared.operation != OperationType::Subscription;
        Ok(Started { responses: self.engine.stream(prepared, caller), single })
    }
}
