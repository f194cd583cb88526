//! What every resolver finds in its context.

use std::sync::Arc;

use async_graphql::Context;
use ipnet::IpNet;

use crate::platform::{
    auth::{Caller, ClientAddress, Principal, Visit},
    batch::Reading,
    budget::ByteBudget,
    error::Result,
    graphql::socket::SocketOperation,
    subscription::{Sources, bookmark::Bookmarks},
};

/// Accessors of the request's context. A concept adds its own service by a trait of the same shape.
pub trait ContextExt<'a> {
    /// The caller, with or without a credential.
    fn caller(&self) -> &'a Caller;

    /// The caller, with a valid credential.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` or `UNAVAILABLE`, as [`Caller::principal`].
    fn principal(&self) -> Result<&'a Arc<Principal>> {
        self.caller().principal()
    }

    /// The address that the caller's connection comes from.
    fn client_address(&self) -> Option<IpNet>;

    /// What else is known of the caller's client.
    fn visit(&self) -> Visit;

    /// The operation that the request is on its socket; `None` for a request over HTTP.
    fn socket_operation(&self) -> Option<&'a SocketOperation>;

    /// The places of streams.
    fn bookmarks(&self) -> &'a Bookmarks;

    /// For whom this request's resolvers read lists.
    fn reading(&self) -> Reading;

    /// The sources of subscriptions.
    fn sources(&self) -> &'a Sources;
}

impl<'a> ContextExt<'a> for Context<'a> {
    fn caller(&self) -> &'a Caller {
        self.data_unchecked()
    }

    fn client_address(&self) -> Option<IpNet> {
        self.data_opt::<ClientAddress>().map(|address| address.0.into())
    }

    fn visit(&self) -> Visit {
        self.data_opt::<Visit>().cloned().unwrap_or_default()
    }

    fn socket_operation(&self) -> Option<&'a SocketOperation> {
        self.data_opt()
    }

    fn bookmarks(&self) -> &'a Bookmarks {
        self.data_unchecked()
    }

    fn reading(&self) -> Reading {
        let budget = self.data_opt::<Arc<ByteBudget>>().cloned();
        Reading::new(self.caller(), self.data_opt::<ClientAddress>().copied(), budget)
    }

    fn sources(&self) -> &'a Sources {
        self.data_unchecked()
    }
}
