//! Subscriptions as the specification defines them: a source stream, and one execution for each of its messages.
//!
//! ```text
//! subscribe ─► the root field's resolver: checks rights, registers its source ([`shared`], [`own`])
//! message   ─► rendered before for an equal selection? ── yes ─► that text
//!                  └ no ─► a query is executed; [`Root`] resolves its one root field to the message's value
//! ```
//!
//! async-graphql's own execution keeps the document, its context and three streams for each subscription (12 KB), and
//! polls all of them for each message. Here async-graphql only calls the root resolver, and everything that it made for
//! that call is dropped when the resolver returns.

use std::{
    borrow::Cow,
    marker::PhantomData,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context as TaskContext, Poll},
};

use async_graphql::{
    ContainerType, Context, ContextSelectionSet, ObjectType, OutputType, Positioned, ServerResult, Value,
    parser::types::Field, registry::Registry, resolver_utils::resolve_container,
};
use futures_util::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::BoxStream};
use serde_json::value::RawValue;

use super::render_cache::{MessageKey, SelectionKey};
use crate::platform::error::Result;
use crate::platform::subscription::Change;

/// The messages of one subscription, in order.
pub(super) type Source = BoxStream<'static, Message>;

/// One message of a source.
pub(super) enum Message {
    /// The response's text, rendered before for an equal selection.
    Rendered(Arc<RawValue>),
    /// The root field's value, to be executed. The key is present if other subscriptions may show the same message.
    Unrendered(RootValue, Option<MessageKey>),
}

/// The value of the root field in one message. The engine puts it into the context of the request that executes it.
#[derive(Clone)]
pub(super) struct RootValue(Arc<dyn Resolve>);

trait Resolve: Send + Sync {
    fn resolve<'a>(
        &'a self,
        context: &'a ContextSelectionSet<'a>,
        field: &'a Positioned<Field>,
    ) -> BoxFuture<'a, ServerResult<Value>>;
}

impl<T: OutputType> Resolve for T {
    fn resolve<'a>(
        &'a self,
        context: &'a ContextSelectionSet<'a>,
        field: &'a Positioned<Field>,
    ) -> BoxFuture<'a, ServerResult<Value>> {
        OutputType::resolve(self, context, field).boxed()
    }
}

/// The query root. For a request that carries a message's value it resolves the one root field to that value; for all
/// others it is `Q`.
#[derive(Debug, Default)]
pub struct Root<Q>(pub Q);

impl<Q: ObjectType> OutputType for Root<Q> {
    fn type_name() -> Cow<'static, str> {
        Q::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Q::create_type_info(registry)
    }

    async fn resolve(&self, context: &ContextSelectionSet<'_>, _field: &Positioned<Field>) -> ServerResult<Value> {
        resolve_container(context, self).await
    }
}

impl<Q: ObjectType> ContainerType for Root<Q> {
    async fn resolve_field(&self, context: &Context<'_>) -> ServerResult<Option<Value>> {
        let Some(RootValue(value)) = context.data_opt() else { return self.0.resolve_field(context).await };
        let selected = context.with_selection_set(&context.item.node.selection_set);
        value.resolve(&selected, context.item).await.map(Some)
    }
}

impl<Q: ObjectType> ObjectType for Root<Q> {}

/// Where a subscription's root resolver puts its source. The engine adds one to the context of every request for a
/// subscription, and takes the source out when the resolver has returned.
#[derive(Clone)]
pub(super) struct SourceSlot {
    selection: Arc<SelectionKey>,
    source: Arc<Mutex<Option<Source>>>,
}

impl SourceSlot {
    pub(super) fn new(selection: Arc<SelectionKey>) -> Self {
        Self { selection, source: Arc::default() }
    }

    /// The source, if a resolver has registered one.
    pub(super) fn take(&self) -> Option<Source> {
        // Nothing panics while it holds the lock.
        mem::take(&mut *self.source.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, source: Source) {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    /// Panics outside a subscription's root resolver: only there the engine provides a slot.
    fn of<'a>(context: &Context<'a>) -> &'a Self {
        context.data_unchecked()
    }
}

/// Proof that a subscription's resolver has registered its source. To async-graphql it is an empty stream.
#[derive(Debug)]
pub struct SourceRegistered<T>(PhantomData<fn() -> T>);

impl<T> Stream for SourceRegistered<T> {
    type Item = Result<T>;

    fn poll_next(self: Pin<&mut Self>, _context: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(None)
    }
}

/// Registers a source of changes. Each change is executed once for all subscriptions with an equal selection.
pub fn shared<T, R>(
    context: &Context<'_>,
    changes: impl Stream<Item = Result<Change<R>>> + Send + 'static,
) -> SourceRegistered<T>
where
    T: OutputType + From<Change<R>> + 'static,
{
    let slot = SourceSlot::of(context);
    let selection = Arc::clone(&slot.selection);
    let messages = changes.map(move |change| match change {
        Ok(mut change) => {
            let key = MessageKey::take(&mut change);
            match key.as_ref().and_then(|key| selection.find(key)) {
                Some(text) => Message::Rendered(text),
                None => Message::Unrendered(RootValue(Arc::new(T::from(change))), key),
            }
        }
        Err(error) => Message::Unrendered(RootValue(Arc::new(Result::<T>::Err(error))), None),
    });
    slot.put(messages.boxed());
    SourceRegistered(PhantomData)
}

/// Registers a source of values. Each value is executed for this subscription alone.
pub fn own<T>(context: &Context<'_>, values: impl Stream<Item = Result<T>> + Send + 'static) -> SourceRegistered<T>
where
    T: OutputType + 'static,
{
    let messages = values.map(|value| Message::Unrendered(RootValue(Arc::new(value)), None));
    SourceSlot::of(context).put(messages.boxed());
    SourceRegistered(PhantomData)
}
