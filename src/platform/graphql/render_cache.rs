//! Rendering once what many subscriptions show: one execution and one serialisation for each distinct selection.
//!
//! ```text
//! event ── RenderCache ──► (SelectionKey, MessageKey's metadata) ─► execution, later its JSON text
//! ```
//! The first subscription that needs a rendering begins the execution. Those that need it meanwhile wait for the same one,
//! and whichever of them is polled drives it on: a subscription that its client does not read holds up no other.
//!
//! A rendering is reused when both keys are equal:
//! - the [`SelectionKey`]: the same operation of the same cached document, equal variables, an equal [`Audience`];
//! - the [`MessageKey`]: the same event, the same change operation, cursor and resync flag, merged with the same earlier
//!   events.
//!
//! A resolver of a message has no other input: the caller in its context is the audience's, not the subscriber's. So equal
//! keys give equal text. Rights are checked before, for each subscription by itself: the cache never decides who receives
//! an event. Only responses without errors are kept.
//!
//! Counted: `switchboard_stream_executions_total`, the messages that were executed and not found here.

use std::{collections::HashSet, sync::Arc};

use async_graphql::{Name, Request, Response, Value, Variables};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use serde_json::value::RawValue;

use super::{audience::Audience, document::Operation, variables};
use crate::platform::{
    event::{Cursor, Event},
    subscription::{Change, ChangeOperation},
};

/// Identifies one message of a subscription, whatever is selected of it.
#[derive(Debug)]
pub(super) struct MessageKey {
    event: Arc<Event>,
    metadata: Metadata,
}

/// What a message shows besides the event's record.
#[derive(Debug, Clone, PartialEq)]
struct Metadata {
    operation: ChangeOperation,
    cursor: Cursor,
    resync: bool,
    since: Option<i32>,
}

impl MessageKey {
    /// The key of a change, if other subscriptions may show the same change. Moves the event out of `change`.
    pub(super) fn take<R>(change: &mut Change<R>) -> Option<Self> {
        let event = change.event.take()?;
        let &mut Change { operation, ref cursor, resync, since, .. } = change;
        let metadata = Metadata { operation, cursor: cursor.clone(), resync, since };
        Some(Self { event, metadata })
    }
}

/// An execution and its text; `None` if the response has errors.
pub(super) type Execution = Shared<BoxFuture<'static, Option<Arc<RawValue>>>>;

/// An entry of the event's [`RenderCache`](crate::platform::event::RenderCache).
struct Rendering {
    selection: Arc<SelectionKey>,
    metadata: Metadata,
    execution: Execution,
}

impl Rendering {
    fn is_of(&self, selection: &SelectionKey, metadata: &Metadata) -> bool {
        self.metadata == *metadata && self.selection.equal(selection)
    }
}

/// Identifies a subscription's selection: operation, variables and audience.
#[derive(Debug)]
pub(super) struct SelectionKey {
    /// Compared by identity, so two subscriptions share renderings only through the cache of documents.
    pub(super) operation: Arc<Operation>,
    /// In the order of their names. (As [`Variables`] they would take a kilobyte, for as long as the stream is open.)
    variables: Box<[(Name, Value)]>,
    absent: HashSet<Name>,
    pub(super) audience: Audience,
}

impl SelectionKey {
    pub(super) fn new(
        operation: Arc<Operation>,
        variables: &Variables,
        absent: HashSet<Name>,
        audience: Audience,
    ) -> Self {
        let variables = variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { operation, variables, absent, audience }
    }

    /// The same selection for another audience.
    pub(super) fn shown_to(&self, audience: Audience) -> Self {
        let (operation, variables) = (Arc::clone(&self.operation), self.variables.clone());
        Self { operation, variables, absent: self.absent.clone(), audience }
    }

    fn equal(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.operation, &other.operation)
            && self.audience == other.audience
            && self.variables == other.variables
            && self.absent == other.absent
    }

    /// The request that resolves one message.
    pub(super) fn request(&self) -> Request {
        let mut variables = Variables::default();
        variables.extend(self.variables.iter().cloned());
        let mut executable = self.operation.message_document();
        variables::omit_absent(&mut executable, &self.absent);
        let mut request = Request::new(String::new()).variables(variables);
        request.set_parsed_query(executable);
        request
    }

    /// The text of this message, if an equal selection was rendered before.
    pub(super) fn find(&self, key: &MessageKey) -> Option<Arc<RawValue>> {
        let rendering = key.event.render_cache.find(|rendering: &Rendering| rendering.is_of(self, &key.metadata))?;
        rendering.execution.peek().cloned().flatten()
    }

    /// The execution of this message for all equal selections; `execute` begins it if there is none. `None` if the event
    /// has no room for another.
    pub(super) fn execution(
        self: &Arc<Self>,
        key: MessageKey,
        execute: impl FnOnce() -> BoxFuture<'static, Option<Arc<RawValue>>>,
    ) -> Option<Execution> {
        let MessageKey { event, metadata } = key;
        let wanted = |rendering: &Rendering| rendering.is_of(self, &metadata);
        let begin =
            || Rendering { selection: Arc::clone(self), metadata: metadata.clone(), execution: execute().shared() };
        let rendering = event.render_cache.find_or_insert(wanted, begin)?;
        Some(rendering.execution.clone())
    }
}

/// The text of a response that may be shared: one without errors.
pub(super) fn text(response: &Response) -> Option<Arc<RawValue>> {
    let shared = Some(response).filter(|response| response.errors.is_empty())?;
    serde_json::value::to_raw_value(shared).ok().map(Arc::from)
}
