//! One response of an operation, in the form in which a transport writes it.

use std::sync::Arc;

use async_graphql::Response;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A query or mutation has one response, a subscription one for each message.
#[derive(Debug)]
pub enum OperationResponse {
    /// Not serialised yet: of a query or mutation, with errors, or for one subscription alone.
    Value(Box<Response>),
    /// JSON text that several subscriptions share.
    Json(Arc<RawValue>),
}

impl From<Response> for OperationResponse {
    fn from(response: Response) -> Self {
        Self::Value(response.into())
    }
}

impl Serialize for OperationResponse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(response) => response.serialize(serializer),
            Self::Json(text) => text.serialize(serializer),
        }
    }
}
