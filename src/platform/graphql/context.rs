//! What every resolver finds in its context.

use std::sync::Arc;

use async_graphql::Context;
use ipnet::IpNet;

use crate::platform::{
    auth::{Caller, ClientAddress, Principal},
    batch::Reading,
    budget::ByteBudget,
    error::Result,
    subscription::Sources,
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

    fn reading(&self) -> Reading {
        let budget = self.data_opt::<Arc<ByteBudget>>().cloned();
        Reading::new(self.caller(), self.data_opt::<ClientAddress>().copied(), budget)
    }

    fn sources(&self) -> &'a Sources {
        self.data_unchecked()
    }
}
