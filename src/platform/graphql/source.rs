//! Subscriptions as the specification defines them: a source stream, and one execution for each of its messages.
//!
//! ```text
//! subscribe ─► the root field's resolver: checks rights, registers its source ([`events`], [`changes`], [`states`], [`own`])
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
use futures_util::{
    FutureExt, Stream, StreamExt,
    future::{self, BoxFuture},
    stream::BoxStream,
};
use serde_json::value::RawValue;

use super::{
    audience::Audience,
    context::ContextExt as _,
    render_cache::{MessageKey, SelectionKey},
    shown::{Shown, StillVisible},
    stream_event::StreamEvent,
};
use crate::platform::{
    clock,
    error::Result,
    event::Cursor,
    subscription::{
        self, Change, ChangeOperation, Feed, Opening, Sources,
        bookmark::{Bookmark, OpenBookmark},
    },
};

/// The messages of one subscription.
pub(super) struct Source {
    /// What the stream sends, in its order.
    pub(super) messages: BoxStream<'static, Message>,
    /// What is shown of them, and to whom.
    pub(super) selection: Arc<SelectionKey>,
}

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

    fn put(&self, selection: Arc<SelectionKey>, messages: BoxStream<'static, Message>) {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = Some(Source { messages, selection });
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

/// A feed whose changes the API shows.
pub trait ShownFeed: Feed {
    /// Whom the messages are executed for. Subscribers with equal audiences and equal selections share one execution, so
    /// an audience has in it everything about the subscriber that the record's fields depend on.
    fn audience(&self) -> Audience;

    /// True if the subscriber may see the record as it is now; `record` is as it was when the message was made. Called
    /// before the objects and lists inside a record are shown. `context` is for the concept's loaders.
    fn sees_now<'a>(&'a self, context: &'a Context<'_>, record: &'a Self::Record) -> BoxFuture<'a, Result<bool>>;
}

/// A record that one feed shows.
struct Sight<F: ShownFeed> {
    feed: Arc<F>,
    record: F::Record,
}

impl<F: ShownFeed> StillVisible for Sight<F> {
    fn is_visible<'a>(&'a self, context: &'a Context<'_>) -> BoxFuture<'a, Result<bool>> {
        self.feed.sees_now(context, &self.record)
    }
}

/// Registers the present state of `feed` and its changes, or with `after` the changes since that cursor.
pub fn events<T, F>(context: &Context<'_>, feed: F, after: Option<Cursor>) -> SourceRegistered<StreamEvent<T>>
where
    F: ShownFeed,
    T: ObjectType + From<F::Record> + 'static,
{
    let opening = after.map_or(Opening::Snapshot, Opening::After);
    shared(context, feed, opening, |change, record| Some(StreamEvent::<T>::new(change, record)))
}

/// Registers the changes of `feed` from now on, or from where `bookmark` says.
pub fn changes<T, F>(context: &Context<'_>, feed: F, bookmark: Arc<Bookmark>) -> SourceRegistered<StreamEvent<T>>
where
    F: ShownFeed,
    T: ObjectType + From<F::Record> + 'static,
{
    let opening = bookmark.since().cloned().map_or(Opening::Changes, Opening::Missed);
    let slot = SourceSlot::of(context);
    let selection = Arc::new(slot.selection.shown_to(feed.audience()));
    let bookmark = Some(Arc::new(OpenBookmark(bookmark)));
    let messages =
        stream_messages(context.sources(), &selection, feed, opening, bookmark, change_message::<T, F>).boxed();
    slot.put(selection, messages);
    SourceRegistered(PhantomData)
}

/// Registers the changes of feeds that come one after the other, each as it is opened; `bookmark` keeps the place of all.
/// The messages are executed for this subscription alone.
pub fn changes_of_all<T, F>(
    context: &Context<'_>,
    feeds: impl Stream<Item = (F, Opening)> + Send + 'static,
    bookmark: Arc<Bookmark>,
) -> SourceRegistered<StreamEvent<T>>
where
    F: ShownFeed,
    T: ObjectType + From<F::Record> + 'static,
{
    let slot = SourceSlot::of(context);
    let alone = Audience::of_anonymous(clock::new_random_id().to_string());
    let selection = Arc::new(slot.selection.shown_to(alone));
    let (sources, key, bookmark) =
        (context.sources().clone(), Arc::clone(&selection), Some(Arc::new(OpenBookmark(bookmark))));
    let messages = feeds.flat_map_unordered(None, move |(feed, opening)| {
        stream_messages(&sources, &key, feed, opening, bookmark.clone(), change_message::<T, F>).boxed()
    });
    slot.put(selection, messages.boxed());
    SourceRegistered(PhantomData)
}

/// The message of a stream of changes only, which has no READY.
fn change_message<T, F>(change: Change<F::Record>, record: Option<Shown<T>>) -> Option<StreamEvent<T>>
where
    F: ShownFeed,
    T: ObjectType + From<F::Record> + 'static,
{
    (change.operation != ChangeOperation::Ready).then(|| StreamEvent::<T>::new(change, record))
}

/// Registers the states of the one subject of `feed`: null once the caller may not see it any more.
pub fn states<T, F>(context: &Context<'_>, feed: F) -> SourceRegistered<Option<Shown<T>>>
where
    F: ShownFeed,
    T: ObjectType + From<F::Record> + 'static,
{
    shared(context, feed, Opening::Snapshot, |change, record| match change.operation {
        ChangeOperation::Ready => None,
        ChangeOperation::Delete => Some(None),
        _ => Some(record),
    })
}

/// Registers the present state of `feed` and its changes, or with `after` the changes since that cursor, for a root field
/// whose messages are more than a [`StreamEvent`].
pub fn messages<T, U, F>(
    context: &Context<'_>,
    feed: F,
    after: Option<Cursor>,
    message: MakeMessage<F, T, U>,
) -> SourceRegistered<U>
where
    F: ShownFeed,
    T: ObjectType + From<F::Record> + 'static,
    U: OutputType + 'static,
{
    shared(context, feed, after.map_or(Opening::Snapshot, Opening::After), message)
}

/// Makes the value of the root field of a change and its record; `None` if the change is no message.
pub type MakeMessage<F, T, U> = fn(Change<<F as Feed>::Record>, Option<Shown<T>>) -> Option<U>;

/// Registers a source of changes. Each change is executed once for all subscriptions with an equal selection and
/// audience.
fn shared<T, U, F>(
    context: &Context<'_>,
    feed: F,
    opening: Opening,
    message: MakeMessage<F, T, U>,
) -> SourceRegistered<U>
where
    F: ShownFeed,
    T: ObjectType + From<F::Record> + 'static,
    U: OutputType + 'static,
{
    let slot = SourceSlot::of(context);
    let selection = Arc::new(slot.selection.shown_to(feed.audience()));
    let messages = stream_messages(context.sources(), &selection, feed, opening, None, message).boxed();
    slot.put(selection, messages);
    SourceRegistered(PhantomData)
}

/// The messages of a feed, shown as `selection` says; `bookmark` notes how far they were taken.
fn stream_messages<T, U, F>(
    sources: &Sources,
    selection: &Arc<SelectionKey>,
    feed: F,
    opening: Opening,
    bookmark: Option<Arc<OpenBookmark>>,
    message: MakeMessage<F, T, U>,
) -> impl Stream<Item = Message> + Send + use<T, U, F>
where
    F: ShownFeed,
    T: ObjectType + From<F::Record> + 'static,
    U: OutputType + 'static,
{
    let (feed, selection) = (Arc::new(feed), Arc::clone(selection));
    let changes = subscription::stream(sources, Arc::clone(&feed), opening);
    let changes = match feed.pace() {
        Some(pace) => subscription::paced(pace, changes).boxed().left_stream(),
        None => changes.right_stream(),
    };
    changes.filter_map(move |change| {
        if let (Some(bookmark), Ok(change)) = (&bookmark, &change) {
            match change.operation {
                ChangeOperation::Ready => bookmark.0.began(change.cursor.clone()),
                _ => bookmark.0.taken(change.cursor.clone()),
            }
        }
        future::ready(match change {
            Ok(change) => shared_message(&selection, &feed, change, message),
            Err(error) => Some(Message::Unrendered(RootValue(Arc::new(Result::<U>::Err(error))), None)),
        })
    })
}

fn shared_message<T, U, F>(
    selection: &SelectionKey,
    feed: &Arc<F>,
    mut change: Change<F::Record>,
    message: MakeMessage<F, T, U>,
) -> Option<Message>
where
    F: ShownFeed,
    T: ObjectType + From<F::Record>,
    U: OutputType + 'static,
{
    let key = MessageKey::take(&mut change);
    if let Some(text) = key.as_ref().and_then(|key| selection.find(key)) {
        return Some(Message::Rendered(text));
    }
    let record = change.record.clone().map(|record| {
        let object = T::from(record.clone());
        if change.operation == ChangeOperation::Delete {
            Shown::flat(object)
        } else {
            Shown::while_visible(object, Arc::new(Sight { feed: Arc::clone(feed), record }))
        }
    });
    message(change, record).map(|value| Message::Unrendered(RootValue(Arc::new(value)), key))
}

/// Registers a source of values. Each value is executed for this subscription alone.
pub fn own<T>(context: &Context<'_>, values: impl Stream<Item = Result<T>> + Send + 'static) -> SourceRegistered<T>
where
    T: OutputType + 'static,
{
    let messages = values.map(|value| Message::Unrendered(RootValue(Arc::new(value)), None));
    let slot = SourceSlot::of(context);
    slot.put(Arc::clone(&slot.selection), messages.boxed());
    SourceRegistered(PhantomData)
}
