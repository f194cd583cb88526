//! What transports call: prepare a request, execute it, or subscribe.
//!
//! ```text
//! prepare:   bytes ─► cache of documents ─► operationName ─► variables ─► cost ─► Prepared | Refusal
//! execute:   credential, introspection ─► executor ─► codes, log, metrics
//! subscribe: credential ─► the resolver's source ─► each message executed (source.rs) or shared (render_cache.rs)
//! ```
//!
//! Guarantees:
//! - Every document that async-graphql executes has passed the guard, so the settings bound its time, memory and stack.
//! - A document is parsed and validated once. A request whose document is cached costs the check of its variables and a
//!   clone of one operation.
//! - An answer that becomes larger than its budget is not built to its end: `PAYLOAD_TOO_LARGE`. The requests of a batch
//!   share one budget, and the sum of their costs is limited as the cost of one. A mutation whose answer is too large has
//!   been made, or not, like any whose answer is lost.
//! - A query or mutation ends within the execution timeout, at worst with `UNAVAILABLE`. A half-open connection to the
//!   database would otherwise hold it until TCP gives up.
//! - A panic in a resolver fails its own request with `INTERNAL_SERVER_ERROR`, never the connection.
//! - Every error carries `extensions.code`; text of internal faults is not sent.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use async_graphql::{
    Name, ObjectType, Request, Response, SchemaBuilder, ServerError, SubscriptionType, Value, Variables,
    parser::types::OperationType,
};
use futures_util::{
    FutureExt, Stream, StreamExt,
    stream::{self, BoxStream},
};
use tokio::time::timeout;

use super::{
    audience::Audience,
    document::{Document, DocumentCache, Operation},
    error_response::{self, Refusal},
    executor::{self, Executor},
    guard::Guard,
    render_cache::{MessageKey, SelectionKey, text},
    response::OperationResponse,
    socket::SocketOperation,
    source::{Message, Root, RootValue, Source, SourceSlot},
    types::Types,
    variables,
};
use crate::platform::{
    auth::{Caller, ClientAddress, Visit},
    budget::ByteBudget,
    config::{GuardSettings, Introspection},
    error::{Code, Error},
};

/// Documents up to this cost are executed without counting the answer: their few fields, however long, stay below any
/// useful limit, and whatever is sent is checked once more when it is written.
const UNCOUNTED_COST: u64 = 100;

/// One GraphQL request, as a transport read it.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GraphqlRequest {
    /// The document's text.
    pub query: String,
    /// Selects one of the document's operations; required when there are several.
    #[serde(default)]
    pub operation_name: Option<String>,
    /// Values of the operation's variables; not checked yet.
    #[serde(default)]
    pub variables: Variables,
}

/// A request whose document is valid, with its operation selected and its variables checked.
#[derive(Debug)]
pub struct Prepared {
    /// For the executor; carries the parsed document.
    request: Request,
    /// Query, mutation or subscription.
    pub operation: OperationType,
    /// True when callers with a refused credential may run it (`consumerLogin`).
    pub open: bool,
    /// The number of its `consumerLogin` fields.
    pub logins: u32,
    /// The number of its other mutation fields.
    pub writes: u32,
    /// The cost that the document guard found, with the page sizes of this request's variables.
    pub cost: u64,
    plan: Arc<Operation>,
    /// Variables without a value.
    absent: HashSet<Name>,
    /// Shared with other requests; without one it gets one of its own.
    budget: Option<Arc<ByteBudget>>,
}

impl Prepared {
    /// Adds the client's address, for resolvers.
    #[must_use]
    pub fn from(mut self, address: Option<ClientAddress>) -> Self {
        if let Some(address) = address {
            self.request = self.request.data(address);
        }
        self
    }

    /// Adds what else is known of the client, for resolvers.
    #[must_use]
    pub fn visiting(mut self, visit: Visit) -> Self {
        self.request = self.request.data(visit);
        self
    }

    /// Adds the operation that the request is on its socket, for resolvers.
    #[must_use]
    pub fn on(mut self, operation: SocketOperation) -> Self {
        self.request = self.request.data(operation);
        self
    }

    /// Has the answer count to `budget`, together with those of other requests.
    #[must_use]
    pub fn within(mut self, budget: &Arc<ByteBudget>) -> Self {
        self.budget = Some(Arc::clone(budget));
        self
    }

    fn is_counted(&self) -> bool {
        // The answer to an introspection depends on the schema alone, whatever the cost says.
        self.cost > UNCOUNTED_COST || self.plan.introspects
    }
}

/// Executes GraphQL for all transports. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    executor: Box<dyn Executor>,
    add_context: Box<dyn Fn(Request) -> Request + Send + Sync>,
    types: Types,
    guard: Guard,
    documents: DocumentCache,
    execution_timeout: Duration,
    response_limit: usize,
    introspection: Introspection,
    sdl: String,
}

impl Engine {
    /// An engine for the schema that `build` makes; `build` is called three times (see `executor`). `add_context` runs for
    /// each execution before any field is resolved, and may add data for the resolvers.
    ///
    /// # Panics
    /// When the schema's own SDL does not parse.
    pub fn new<Q, M, S>(
        build: impl Fn() -> SchemaBuilder<Root<Q>, M, S>,
        settings: &GuardSettings,
        add_context: impl Fn(Request) -> Request + Send + Sync + 'static,
    ) -> Self
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        let executor = executor::new(build);
        let sdl = executor.sdl();
        Self {
            shared: Arc::new(Shared {
                types: Types::read(&sdl),
                guard: Guard::new(settings),
                documents: DocumentCache::new(settings.document_cache),
                execution_timeout: settings.execution_timeout,
                response_limit: settings.response_limit,
                introspection: settings.introspection,
                executor,
                add_context: Box::new(add_context),
                sdl,
            }),
        }
    }

    /// The schema in the schema definition language.
    pub fn sdl(&self) -> &str {
        &self.shared.sdl
    }

    /// Guards, parses and validates `request`, using the cache of documents, and checks its variables.
    pub fn prepare(&self, request: GraphqlRequest) -> Result<Prepared, Refusal> {
        catch_unwind(AssertUnwindSafe(|| self.shared.prepare(request)))
            .unwrap_or_else(|panic| Err(error_response::refuse_panic("graphql prepare", &*panic)))
    }

    /// Most bytes of one answer, all of a batch together.
    pub fn response_limit(&self) -> usize {
        self.shared.response_limit
    }

    /// A budget for the answers that are sent together.
    pub fn budget(&self) -> Arc<ByteBudget> {
        Arc::new(ByteBudget::new(self.shared.response_limit))
    }

    /// Checks that the requests of a batch, whose costs add up to `cost`, may run.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX`: none of them may.
    pub fn check_batch(&self, cost: u64) -> Result<(), Refusal> {
        self.shared.guard.check_batch(cost)
    }

    /// Runs a query or mutation to its end. Errors in the response carry `extensions.code`.
    pub async fn execute(&self, prepared: Prepared, caller: &Caller) -> Response {
        if let Err(error) = self.shared.check_caller(&prepared, caller) {
            return error_response::refuse_error(&error).response;
        }
        if prepared.operation == OperationType::Subscription {
            let message = "a subscription needs a transport that streams, such as a WebSocket";
            return error_response::refuse(Code::BadUserInput, message, vec![]).response;
        }
        let counted = prepared.is_counted();
        let Prepared { request, plan, budget, .. } = prepared;
        let budget = budget.unwrap_or_else(|| self.budget());
        let started = Instant::now();
        let execution = self.shared.run(request, &plan, caller, budget, counted);
        let execution = timeout(self.shared.execution_timeout, AssertUnwindSafe(execution).catch_unwind());
        let response = match execution.await {
            Ok(Ok(response)) => response,
            Ok(Err(panic)) => error_response::refuse_panic(&plan.label, &*panic).response,
            Err(elapsed) => error_response::refuse_error(&Error::unavailable(elapsed)).response,
        };
        metrics::counter!("switchboard_graphql_operations_total", labels(&plan)).increment(1);
        metrics::histogram!("switchboard_graphql_operation_seconds", labels(&plan))
            .record(started.elapsed().as_secs_f64());
        response
    }

    /// Runs any operation as a stream of responses: one for a query or mutation, any number for a subscription. After
    /// a panic the stream ends with the response for it.
    pub fn stream(&self, prepared: Prepared, caller: &Caller) -> BoxStream<'static, OperationResponse> {
        if prepared.operation != OperationType::Subscription {
            let (engine, caller) = (self.clone(), caller.clone());
            return stream::once(async move { engine.execute(prepared, &caller).await.into() }).boxed();
        }
        if let Err(error) = self.shared.check_caller(&prepared, caller) {
            return stream::once(async move { error_response::refuse_error(&error).response.into() }).boxed();
        }
        let Prepared { request, plan, absent, .. } = prepared;
        metrics::counter!("switchboard_graphql_operations_total", labels(&plan)).increment(1);
        let selection = Arc::new(SelectionKey::new(plan, &request.variables, absent, Audience::of(caller.clone())));
        let label = Arc::clone(&selection.operation.label);
        AssertUnwindSafe(self.subscribe(request, selection))
            .catch_unwind()
            .map(move |response| {
                response.unwrap_or_else(|panic| error_response::refuse_panic(&label, &*panic).response.into())
            })
            .boxed()
    }

    fn subscribe(
        &self,
        request: Request,
        selection: Arc<SelectionKey>,
    ) -> impl Stream<Item = OperationResponse> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        let slot = SourceSlot::new(Arc::clone(&selection));
        let request = (shared.add_context)(request).data(selection.audience.caller.clone()).data(slot.clone());
        let mut opening = shared.executor.subscribe(request);
        // This state lives as long as the subscription, so it is kept small: the future of one message is boxed.
        async_stream::stream! {
            // A response instead of a source: the subscription is refused.
            while let Some(response) = opening.next().await {
                yield error_response::finish(response, &selection.operation.executable, &shared.types).into();
            }
            drop(opening);
            drop(selection);
            let Some(Source { mut messages, selection }) = slot.take() else { return };
            drop(slot);
            while let Some(message) = messages.next().await {
                yield match message {
                    Message::Rendered(text) => OperationResponse::Json(text),
                    Message::Unrendered(value, key) => {
                        Box::pin(shared.render(&selection, value, key)).await
                    },
                };
            }
        }
    }
}

impl Shared {
    /// Executes a query, a mutation or one message of a subscription until it ends or its budget is spent.
    async fn run(
        &self,
        request: Request,
        plan: &Operation,
        caller: &Caller,
        budget: Arc<ByteBudget>,
        counted: bool,
    ) -> Response {
        let request = (self.add_context)(request).data(caller.clone()).data(Arc::clone(&budget));
        let execution = self.executor.execute(request, counted);
        let response = tokio::select! {
            biased;
            response = execution => response,
            // What the resolvers still wait for is not needed.
            () = budget.spent() => Response::new(Value::Null),
        };
        if budget.is_spent() {
            return error_response::refuse_error(&budget.error()).response;
        }
        error_response::finish(response, &plan.executable, &self.types)
    }

    /// The response of one message of a subscription. With a key it is executed once for all equal selections.
    async fn render(
        self: &Arc<Self>,
        selection: &Arc<SelectionKey>,
        value: RootValue,
        key: Option<MessageKey>,
    ) -> OperationResponse {
        if let Some(key) = key {
            let (engine, executed, value) = (Arc::clone(self), Arc::clone(selection), value.clone());
            let execute = || async move { text(&engine.execute_message(&executed, value).await) }.boxed();
            if let Some(execution) = selection.execution(key, execute)
                && let Some(text) = execution.await
            {
                return OperationResponse::Json(text);
            }
        }
        self.execute_message(selection, value).await.into()
    }

    async fn execute_message(&self, selection: &SelectionKey, value: RootValue) -> Response {
        metrics::counter!("switchboard_stream_executions_total").increment(1);
        let budget = Arc::new(ByteBudget::new(self.response_limit));
        let request = selection.request().data(value);
        // Not counted while it is built: async-graphql knows the field by the subscription's type only, and looks it up in the
        // query's where an extension is. The rows that are read for it count.
        self.run(request, &selection.operation, &selection.audience.caller, budget, false).await
    }

    fn prepare(&self, request: GraphqlRequest) -> Result<Prepared, Refusal> {
        let text = request.query.as_str();
        self.guard.check_bytes(text)?;
        let document = self.documents.get_or_prepare(text, || {
            Document::prepare(text, &self.guard, &self.types, |document| self.executor.validate(document.clone()))
        })?;
        let operation = document.operation(request.operation_name.as_deref())?;
        let definitions = &operation.definition().variable_definitions;
        let variables = variables::coerce(definitions, request.variables, &self.types).map_err(|problems| {
            let errors = problems.into_iter().map(|problem| ServerError::new(problem.node, Some(problem.pos)));
            error_response::refuse_all(Code::BadUserInput, errors.collect())
        })?;
        let cost = match operation.cost {
            Some(cost) => cost,
            None => self.guard.cost_with(&operation.executable, &self.types, &variables.values)?,
        };
        let mut executable = operation.executable.clone();
        variables::omit_absent(&mut executable, &variables.absent);
        let mut request = Request::new(String::new()).variables(variables.values);
        request.set_parsed_query(executable);
        let plan = Arc::clone(operation);
        let Operation { ty: operation, open, logins, writes, .. } = **operation;
        let absent = variables.absent;
        Ok(Prepared { request, operation, open, logins, writes, cost, plan, absent, budget: None })
    }

    /// Refuses a caller whose credential was refused (except for open operations), and introspection by callers that the
    /// setting does not allow it. Each field checks its own rights in its resolver.
    fn check_caller(&self, prepared: &Prepared, caller: &Caller) -> Result<(), Error> {
        match caller {
            Caller::Refused(_) | Caller::Unavailable(_) if prepared.open => Ok(()),
            Caller::Known(_) | Caller::Anonymous if !prepared.plan.introspects => Ok(()),
            _ => {
                let principal = caller.principal()?;
                match self.introspection {
                    Introspection::Off => Err(Error::forbidden("introspection is turned off; see schema.graphql")),
                    Introspection::Company => principal.require_company(),
                    Introspection::Credential => Ok(()),
                }
            }
        }
    }
}

/// The operation's type and its first root field: a bounded number of label values, as both are names of the schema.
fn labels(plan: &Operation) -> Vec<metrics::Label> {
    let operation = match plan.ty {
        OperationType::Query => "query",
        OperationType::Mutation => "mutation",
        OperationType::Subscription => "subscription",
    };
    vec![metrics::Label::new("operation", operation), metrics::Label::new("field", Arc::clone(&plan.label))]
}

#[cfg(test)]
mod tests;
