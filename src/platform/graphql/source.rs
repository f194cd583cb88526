//! Subscriptions as the specification has them: a source stream, and one execution for each message that it gives.
//!
//! ```text
//! subscribe ─► the root field's resolver: checks, rights, hands its source over ([`shared`], [`own`])
//! message   ─► written for an equal reading already? ── yes ─► its text, as it is
//!                  └ no ─► executed: a query whose one root field [`Root`] resolves with the message
//! ```
//!
//! async-graphql would keep the document, its context and three streams for each subscription, 12 KB, and poll them all
//! for each message. Here what it made to call the resolver is dropped when the resolver has answered.

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

use super::shared::{MessageKey, Reading};
use crate::platform::error::Result;
use crate::platform::subscription::Change;

/// A subscription's messages.
pub(super) type Source = BoxStream<'static, Message>;

/// One message of a source.
pub(super) enum Message {
    /// Executed and written already, for an equal reading.
    Written(Arc<RawValue>),
    /// To be executed; and which one it is, if others may be told the same.
    New(Payload, Option<MessageKey>),
}

/// The value of the root field in one message; in the context of the request that executes it.
#[derive(Clone)]
pub(super) struct Payload(Arc<dyn Resolve>);

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

/// The root of all queries, and of the requests that execute messages.
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
        let Some(Payload(value)) = context.data_opt() else { return self.0.resolve_field(context).await };
        let selected = context.with_selection_set(&context.item.node.selection_set);
        value.resolve(&selected, context.item).await.map(Some)
    }
}

impl<Q: ObjectType> ObjectType for Root<Q> {}

/// Where a resolver leaves its source; in the context of the request that asks for it.
#[derive(Clone)]
pub(super) struct Intake {
    reading: Arc<Reading>,
    source: Arc<Mutex<Option<Source>>>,
}

impl Intake {
    pub(super) fn new(reading: Arc<Reading>) -> Self {
        Self { reading, source: Arc::default() }
    }

    /// What was left here.
    pub(super) fn take(&self) -> Option<Source> {
        // Nothing panics while it holds the lock.
        mem::take(&mut *self.source.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, source: Source) {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    /// The engine's, which puts one into every request for a subscription.
    fn of<'a>(context: &Context<'a>) -> &'a Self {
        context.data_unchecked()
    }
}

/// What a subscription's resolver answers once its source is handed over; for async-graphql an empty stream.
#[derive(Debug)]
pub struct HandedOver<T>(PhantomData<fn() -> T>);

impl<T> Stream for HandedOver<T> {
    type Item = Result<T>;

    fn poll_next(self: Pin<&mut Self>, _context: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(None)
    }
}

/// Hands over changes that are executed once for all who are shown the same of them.
pub fn shared<T, R>(
    context: &Context<'_>,
    changes: impl Stream<Item = Result<Change<R>>> + Send + 'static,
) -> HandedOver<T>
where
    T: OutputType + From<Change<R>> + 'static,
{
    let intake = Intake::of(context);
    let reading = Arc::clone(&intake.reading);
    let messages = changes.map(move |change| match change {
        Ok(mut change) => {
            let key = MessageKey::of(&mut change);
            match key.as_ref().and_then(|key| reading.find(key)) {
                Some(text) => Message::Written(text),
                None => Message::New(Payload(Arc::new(T::from(change))), key),
            }
        }
        Err(error) => Message::New(Payload(Arc::new(Result::<T>::Err(error))), None),
    });
    intake.put(messages.boxed());
    HandedOver(PhantomData)
}

/// Hands over values that are executed for this subscription alone.
pub fn own<T>(context: &Context<'_>, values: impl Stream<Item = Result<T>> + Send + 'static) -> HandedOver<T>
where
    T: OutputType + 'static,
{
    let messages = values.map(|value| Message::New(Payload(Arc::new(value)), None));
    Intake::of(context).put(messages.boxed());
    HandedOver(PhantomData)
}
