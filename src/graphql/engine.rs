//! What the transports call: prepare a document, execute it, or stream it.

use async_graphql::{Response, Variables, parser::types::OperationType};
use futures_util::stream::BoxStream;

use crate::{auth::Caller, error::Code};

/// One GraphQL request as a transport read it.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GraphqlRequest {
    /// The document.
    pub query: String,
    /// Which of its operations to run; may be absent when there is one.
    #[serde(default)]
    pub operation_name: Option<String>,
    /// Values of its variables.
    #[serde(default)]
    pub variables: Variables,
}

/// A request whose document is parsed, guarded and validated, with its operation chosen and its variables checked.
#[derive(Debug)]
pub struct Prepared {
    /// For the executor; carries the parsed document.
    pub(super) request: async_graphql::Request,
    /// Query, mutation or subscription.
    pub operation: OperationType,
    /// True when every root field is open to callers with a bad credential too (`consumerLogin`).
    pub open: bool,
}

/// Why a request was not executed at all.
#[derive(Debug)]
pub struct Refusal {
    /// Decides the HTTP status.
    pub code: Code,
    /// Complete response, errors with `extensions.code`, no data.
    pub response: Response,
}

/// Executes GraphQL for any transport. Cheap to clone.
#[derive(Clone)]
pub struct Engine {}

impl Engine {
    /// Parses, guards and validates `request`, from the cache where it was seen before.
    pub fn prepare(&self, request: GraphqlRequest) -> Result<Prepared, Refusal> {
        let _ = request;
        unimplemented!()
    }

    /// Runs a query or mutation to its end. Errors in the response carry `extensions.code`.
    pub async fn execute(&self, prepared: Prepared, caller: &Caller) -> Response {
        let _ = (prepared, caller);
        unimplemented!()
    }

    /// Runs any operation as a stream of responses: one for a query or mutation, any number for a subscription.
    pub fn stream(&self, prepared: Prepared, caller: &Caller) -> BoxStream<'static, Response> {
        let _ = (prepared, caller);
        unimplemented!()
    }
}
