//! What the transports call: prepare a document, execute it, or stream it.
//!
//! ```text
//! prepare: bytes ► cache of documents ► operationName ► variables ► page sizes ► Prepared | Refusal
//! execute: credential, introspection ► async-graphql ► wire (codes, log, counts)
//! stream:  credential ► the resolver's source ► each message executed (`source.rs`), or shared (`shared.rs`)
//! ```
//!
//! Guarantees:
//! - What reaches async-graphql has passed the guard, so its time, memory and stack are bounded by the settings.
//! - A document is parsed and validated once and then served from the cache; a request that hits it pays for its
//!   variables and a clone of one operation.
//! - A query or mutation ends in time, with `UNAVAILABLE` if need be: a half-open connection to the database is
//!   silent for as long as TCP likes.
//! - A panic in a resolver costs its own request, answered `INTERNAL_SERVER_ERROR`, never the connection.
//! - Every error that leaves here carries `extensions.code`; text of internal faults does not leave.
//!
//! There are two schemas of the same types. One validates, with all rules, and never executes. The other executes
//! in async-graphql's fast mode, which skips the rules. (One schema with an extension to skip them would do, but
//! with any extension async-graphql wraps each field in another two allocations.)

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use async_graphql::{
    Name, ObjectType, Request, Response, Schema, SchemaBuilder, ServerError, SubscriptionType, ValidationMode,
    ValidationResult, Variables, async_trait,
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextValidation},
    parser::types::{ExecutableDocument, OperationType},
};
use futures_util::{
    FutureExt, Stream, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use tokio::time::timeout;

use super::{
    document::{Document, Documents, Operation},
    guard::Guard,
    shared::{Answer, MessageKey, Reading},
    source::{Intake, Message, Payload, Root},
    types::Types,
    variables, wire,
};
use crate::platform::{
    auth::{Caller, ClientAddress},
    config::GuardSettings,
    error::{Code, Error},
};

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
    pub(super) request: Request,
    /// Query, mutation or subscription.
    pub operation: OperationType,
    /// True when every root field is open to callers with a bad credential too (`consumerLogin`).
    pub open: bool,
    /// What the request was made from.
    plan: Arc<Operation>,
    /// Variables that were left out.
    absent: HashSet<Name>,
}

impl Prepared {
    /// The same request, from this address.
    #[must_use]
    pub fn from(mut self, address: Option<ClientAddress>) -> Self {
        if let Some(address) = address {
            self.request = self.request.data(address);
        }
        self
    }
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
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    backend: Box<dyn Backend>,
    begin: Box<dyn Fn(Request) -> Request + Send + Sync>,
    types: Types,
    guard: Guard,
    documents: Documents,
    execution_timeout: Duration,
    sdl: String,
}

impl Engine {
    /// An engine for the schema that `build` makes (it is called twice, see the module's essay). `begin` adds to each
    /// request what must be noted before any of its fields is resolved.
    ///
    /// # Panics
    /// When the schema's own SDL does not parse.
    pub fn new<Q, M, S>(
        build: impl Fn() -> SchemaBuilder<Root<Q>, M, S>,
        settings: &GuardSettings,
        begin: impl Fn(Request) -> Request + Send + Sync + 'static,
    ) -> Self
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        // The guard has bounded the depth, in a way that does not expand fragments.
        let schema = || build().limit_recursive_depth(usize::MAX);
        // "Did you mean" costs a distance to every name, and tells strangers the schema.
        let validator = schema().disable_suggestions().extension(OnlyValidate).finish();
        let executor = schema().validation_mode(ValidationMode::Fast).finish();
        let sdl = executor.sdl();
        Self {
            shared: Arc::new(Shared {
                types: Types::read(&sdl),
                guard: Guard::new(settings),
                documents: Documents::new(settings.document_cache),
                execution_timeout: settings.execution_timeout,
                backend: Box::new(Schemas { validator, executor }),
                begin: Box::new(begin),
                sdl,
            }),
        }
    }

    /// The schema in the schema definition language.
    pub fn sdl(&self) -> &str {
        &self.shared.sdl
    }

    /// Parses, guards and validates `request`, from the cache where it was seen before.
    pub fn prepare(&self, request: GraphqlRequest) -> Result<Prepared, Refusal> {
        catch_unwind(AssertUnwindSafe(|| self.shared.prepare(request)))
            .unwrap_or_else(|panic| Err(wire::refuse_panic("graphql prepare", &*panic)))
    }

    /// Runs a query or mutation to its end. Errors in the response carry `extensions.code`.
    pub async fn execute(&self, prepared: Prepared, caller: &Caller) -> Response {
        if let Err(error) = admit(&prepared, caller) {
            return wire::refuse_error(&error).response;
        }
        if prepared.operation == OperationType::Subscription {
            let message = "a subscription needs a transport that streams, such as a WebSocket";
            return wire::refuse(Code::BadUserInput, message, vec![]).response;
        }
        let Prepared { request, plan, .. } = prepared;
        let started = Instant::now();
        let execution = self.shared.backend.execute((self.shared.begin)(request).data(caller.clone()));
        let execution = timeout(self.shared.execution_timeout, AssertUnwindSafe(execution).catch_unwind());
        let response = match execution.await {
            Ok(Ok(response)) => wire::finish(response, &plan, &self.shared.types),
            Ok(Err(panic)) => wire::refuse_panic(&plan.label, &*panic).response,
            Err(late) => wire::refuse_error(&Error::unavailable(late)).response,
        };
        metrics::counter!("switchboard_graphql_operations_total", labels(&plan)).increment(1);
        metrics::histogram!("switchboard_graphql_operation_seconds", labels(&plan))
            .record(started.elapsed().as_secs_f64());
        response
    }

    /// Runs any operation as a stream of answers: one for a query or mutation, any number for a subscription.
    pub fn stream(&self, prepared: Prepared, caller: &Caller) -> BoxStream<'static, Answer> {
        if prepared.operation != OperationType::Subscription {
            let (engine, caller) = (self.clone(), caller.clone());
            return stream::once(async move { Answer::Own(engine.execute(prepared, &caller).await.into()) }).boxed();
        }
        if let Err(error) = admit(&prepared, caller) {
            return stream::once(async move { Answer::Own(wire::refuse_error(&error).response.into()) }).boxed();
        }
        let Prepared { request, plan, absent, .. } = prepared;
        metrics::counter!("switchboard_graphql_operations_total", labels(&plan)).increment(1);
        let reading = Arc::new(Reading::new(plan, &request.variables, absent, caller.clone()));
        let label = Arc::clone(&reading.plan.label);
        // After a panic the stream ends with that answer.
        AssertUnwindSafe(self.answers(request, reading))
            .catch_unwind()
            .map(move |answer| {
                answer.unwrap_or_else(|panic| Answer::Own(wire::refuse_panic(&label, &*panic).response.into()))
            })
            .boxed()
    }

    fn answers(&self, request: Request, reading: Arc<Reading>) -> impl Stream<Item = Answer> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        let intake = Intake::new(Arc::clone(&reading));
        let request = (shared.begin)(request).data(reading.caller.clone()).data(intake.clone());
        let mut opening = shared.backend.stream(request);
        // Kept small, as it is there for as long as the subscription: what is needed for a message alone is boxed.
        async_stream::stream! {
            // Why there is no source.
            while let Some(response) = opening.next().await {
                yield Answer::Own(wire::finish(response, &reading.plan, &shared.types).into());
            }
            drop(opening);
            let Some(mut source) = intake.take() else { return };
            while let Some(message) = source.next().await {
                yield match message {
                    Message::Written(text) => Answer::Shared(text),
                    Message::New(payload, key) => Box::pin(shared.tell(&reading, payload, key)).await,
                };
            }
        }
    }
}

impl Shared {
    /// Executes one message of a subscription.
    async fn tell(&self, reading: &Arc<Reading>, payload: Payload, key: Option<MessageKey>) -> Answer {
        let request = (self.begin)(reading.request()).data(reading.caller.clone()).data(payload);
        let response = wire::finish(self.backend.execute(request).await, &reading.plan, &self.types);
        match key {
            Some(key) => reading.keep(key, response),
            None => Answer::Own(response.into()),
        }
    }

    fn prepare(&self, request: GraphqlRequest) -> Result<Prepared, Refusal> {
        let text = request.query.as_str();
        self.guard.check_bytes(text)?;
        let document = self.documents.get_or_prepare(text, || {
            Document::prepare(text, &self.guard, &self.types, |document| self.backend.validate(document.clone()))
        })?;
        let operation = document.operation(request.operation_name.as_deref())?;
        let definitions = &operation.definition().variable_definitions;
        let variables = variables::coerce(definitions, request.variables, &self.types).map_err(|problems| {
            let errors = problems.into_iter().map(|problem| ServerError::new(problem.node, Some(problem.pos)));
            wire::refuse_all(Code::BadUserInput, errors.collect())
        })?;
        if operation.paged_by_variable {
            self.guard.check_pages(&operation.executable, &self.types, &variables.values)?;
        }
        let mut executable = operation.executable.clone();
        variables::omit_absent(&mut executable, &variables.absent);
        let mut request = Request::new(String::new()).variables(variables.values);
        request.set_parsed_query(executable);
        let (open, plan) = (operation.open, Arc::clone(operation));
        Ok(Prepared { request, operation: operation.ty, open, plan, absent: variables.absent })
    }
}

/// What a caller may not even try. What each field asks of its caller is the resolver's.
fn admit(prepared: &Prepared, caller: &Caller) -> Result<(), Error> {
    match caller {
        Caller::Known(_) => Ok(()),
        Caller::Refused(_) | Caller::Unavailable(_) if prepared.open => Ok(()),
        Caller::Anonymous if !prepared.plan.introspects => Ok(()),
        _ => caller.principal().map(|_| ()),
    }
}

/// Few enough for any metrics store: names of the schema's root fields.
fn labels(plan: &Operation) -> Vec<metrics::Label> {
    let operation = match plan.ty {
        OperationType::Query => "query",
        OperationType::Mutation => "mutation",
        OperationType::Subscription => "subscription",
    };
    vec![metrics::Label::new("operation", operation), metrics::Label::new("field", Arc::clone(&plan.label))]
}

/// A schema without its types, so that its users need not name them.
trait Backend: Send + Sync {
    /// What is wrong with a document; nothing for a valid one.
    fn validate(&self, document: ExecutableDocument) -> Vec<ServerError>;
    /// Executes a query or mutation whose document is valid.
    fn execute(&self, request: Request) -> BoxFuture<'static, Response>;
    /// Opens a subscription whose document is valid: its resolver leaves the source in the request's [`Intake`], or there
    /// is a response that says why not.
    fn stream(&self, request: Request) -> BoxStream<'static, Response>;
}

struct Schemas<Q, M, S> {
    validator: Schema<Q, M, S>,
    executor: Schema<Q, M, S>,
}

impl<Q, M, S> Backend for Schemas<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    fn validate(&self, document: ExecutableDocument) -> Vec<ServerError> {
        let mut request = Request::new(String::new());
        request.set_parsed_query(document);
        let validation = self.validator.execute(request).now_or_never();
        validation.expect("validation waits for nothing, and nothing is executed after it").errors
    }

    fn execute(&self, request: Request) -> BoxFuture<'static, Response> {
        let schema = self.executor.clone();
        async move { schema.execute(request).await }.boxed()
    }

    fn stream(&self, request: Request) -> BoxStream<'static, Response> {
        self.executor.execute_stream(request)
    }
}

/// Ends a request after validation: with its errors, or with an empty list of them when there are none.
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
