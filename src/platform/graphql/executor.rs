//! async-graphql behind a trait without type parameters: validation, execution, opening a subscription.
//!
//! There are two schemas of the same types. One validates with all rules and never executes. The other executes in
//! async-graphql's fast mode, which skips the rules, because documents are validated once and then cached. (One schema
//! with an extension that skips the rules would do, but with any extension async-graphql makes two more allocations
//! for each field.)

use std::sync::Arc;

use async_graphql::{
    ObjectType, Request, Response, Schema, SchemaBuilder, ServerError, SubscriptionType, ValidationMode,
    ValidationResult, async_trait,
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextValidation},
    parser::types::ExecutableDocument,
};
use futures_util::{FutureExt, future::BoxFuture, stream::BoxStream};

use super::source::Root;

/// A schema whose types its users need not name.
pub(super) trait Executor: Send + Sync {
    /// The errors of validation; empty for a valid document.
    fn validate(&self, document: ExecutableDocument) -> Vec<ServerError>;
    /// Executes a query or mutation whose document is valid.
    fn execute(&self, request: Request) -> BoxFuture<'static, Response>;
    /// Runs the root resolver of a subscription whose document is valid. Either the resolver puts its source into the
    /// request's [`SourceSlot`](super::source::SourceSlot) and the stream is empty, or the stream gives the response
    /// that refuses the subscription.
    fn subscribe(&self, request: Request) -> BoxStream<'static, Response>;
    /// The schema in the schema definition language.
    fn sdl(&self) -> String;
}

/// The two schemas, built by calling `build` twice.
pub(super) fn new<Q, M, S>(build: impl Fn() -> SchemaBuilder<Root<Q>, M, S>) -> Box<dyn Executor>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    // The guard has bounded the depth already, without expanding fragments.
    let schema = || build().limit_recursive_depth(usize::MAX);
    // "Did you mean" compares every name of the schema, and reveals the schema to strangers.
    let validator = schema().disable_suggestions().extension(OnlyValidate).finish();
    let executor = schema().validation_mode(ValidationMode::Fast).finish();
    Box::new(Schemas { validator, executor })
}

struct Schemas<Q, M, S> {
    validator: Schema<Q, M, S>,
    executor: Schema<Q, M, S>,
}

impl<Q, M, S> Executor for Schemas<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    fn validate(&self, document: ExecutableDocument) -> Vec<ServerError> {
        let mut request = Request::new(String::new());
        request.set_parsed_query(document);
        let validation = self.validator.execute(request).now_or_never();
        validation.expect("validation never waits, and OnlyValidate prevents execution").errors
    }

    fn execute(&self, request: Request) -> BoxFuture<'static, Response> {
        let schema = self.executor.clone();
        async move { schema.execute(request).await }.boxed()
    }

    fn subscribe(&self, request: Request) -> BoxStream<'static, Response> {
        self.executor.execute_stream(request)
    }

    fn sdl(&self) -> String {
        self.executor.sdl()
    }
}

/// Ends every request after validation, by failing it with the errors found, be they none.
struct OnlyValidate;

impl ExtensionFactory for OnlyValidate {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait::async_trait]
impl Extension for OnlyValidate {
    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        Err(next.run(ctx).await.err().unwrap_or_default())
    }
}
