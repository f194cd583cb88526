//! async-graphql behind a trait without type parameters: validation, execution, opening a subscription.
//!
//! There are three schemas of the same types. One validates with all rules and never executes. The others execute in
//! async-graphql's fast mode, which skips the rules, because documents are validated once and then cached. (One schema
//! with an extension that skips the rules would do, but with any extension async-graphql makes two more allocations
//! for each field.) For the same reason only one of them counts the answer while it is built: it executes the documents
//! whose answers may become large.

use std::sync::Arc;

use async_graphql::{
    ObjectType, Request, Response, Schema, SchemaBuilder, ServerError, SubscriptionType, ValidationMode,
    ValidationResult, async_trait,
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextValidation},
    parser::types::ExecutableDocument,
};
use futures_util::{FutureExt, future::BoxFuture, stream::BoxStream};

use super::{answer_size::CountAnswer, source::Root};

/// A schema whose types its users need not name.
pub(super) trait Executor: Send + Sync {
    /// The errors of validation; empty for a valid document.
    fn validate(&self, document: ExecutableDocument) -> Vec<ServerError>;
    /// Executes a query or mutation whose document is valid. If it is `counted`, the size of the answer counts to the
    /// budget in the request's data.
    fn execute(&self, request: Request, counted: bool) -> BoxFuture<'static, Response>;
    /// Runs the root resolver of a subscription whose document is valid. Either the resolver puts its source into the
    /// request's [`SourceSlot`](super::source::SourceSlot) and the stream is empty, or the stream gives the response
    /// that refuses the subscription.
    fn subscribe(&self, request: Request) -> BoxStream<'static, Response>;
    /// The schema in the schema definition language.
    fn sdl(&self) -> String;
}

/// The three schemas, each built by a call of `build`.
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
    let counting_executor = schema().validation_mode(ValidationMode::Fast).extension(CountAnswer).finish();
    Box::new(Schemas { validator, executor, counting_executor })
}

struct Schemas<Q, M, S> {
    validator: Schema<Q, M, S>,
    executor: Schema<Q, M, S>,
    counting_executor: Schema<Q, M, S>,
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

    fn execute(&self, request: Request, counted: bool) -> BoxFuture<'static, Response> {
        let schema = if counted { self.counting_executor.clone() } else { self.executor.clone() };
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
