//! Rendering once what many subscriptions show: one execution and one serialisation for each distinct selection.
//!
//! ```text
//! event ── RenderCache ──► (SelectionKey, MessageKey's metadata) ─► JSON text
//! ```
//! A rendering is reused when both keys are equal:
//! - the [`SelectionKey`]: the same operation of the same cached document, equal variables, an equal caller;
//! - the [`MessageKey`]: the same event, the same change operation, cursor and resync flag.
//!
//! A resolver of a message has no other input, so equal keys give equal text. Rights are checked before, for each
//! subscription by itself: the cache never decides who receives an event. Only responses without errors are kept.

use std::{collections::HashSet, sync::Arc};

use async_graphql::{Name, Request, Response, Value, Variables};
use serde_json::value::RawValue;

use super::{document::Operation, response::OperationResponse, variables};
use crate::platform::subscription::{Change, ChangeOperation};
use crate::platform::{
    auth::Caller,
    event::{Cursor, Event},
};

/// Identifies one message of a subscription, whatever is selected of it.
#[derive(Debug)]
pub(super) struct MessageKey {
    event: Arc<Event>,
    metadata: Metadata,
}

/// What a message shows besides the event's record.
#[derive(Debug, PartialEq)]
struct Metadata {
    operation: ChangeOperation,
    cursor: Cursor,
    resync: bool,
}

impl MessageKey {
    /// The key of a change, if other subscriptions may show the same change. Moves the event out of `change`.
    pub(super) fn take<R>(change: &mut Change<R>) -> Option<Self> {
        let event = change.event.take()?;
        let metadata = Metadata { operation: change.operation, cursor: change.cursor.clone(), resync: change.resync };
        Some(Self { event, metadata })
    }
}

/// An entry of the event's [`RenderCache`](crate::platform::event::RenderCache).
struct Rendering {
    selection: Arc<SelectionKey>,
    metadata: Metadata,
    text: Arc<RawValue>,
}

/// Identifies a subscription's selection: operation, variables and caller.
#[derive(Debug)]
pub(super) struct SelectionKey {
    /// Compared by identity, so two subscriptions share renderings only through the cache of documents.
    pub(super) operation: Arc<Operation>,
    /// In the order of their names. (As [`Variables`] they would take a kilobyte, for as long as the stream is open.)
    variables: Box<[(Name, Value)]>,
    absent: HashSet<Name>,
    pub(super) caller: Caller,
}

impl SelectionKey {
    pub(super) fn new(operation: Arc<Operation>, variables: &Variables, absent: HashSet<Name>, caller: Caller) -> Self {
        let variables = variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { operation, variables, absent, caller }
    }

    fn equal(&self, other: &Self) -> bool {
        let callers = match (&self.caller, &other.caller) {
            (Caller::Known(one), Caller::Known(other)) => Arc::ptr_eq(one, other) || one == other,
            (Caller::Anonymous, Caller::Anonymous) => true,
            _ => false,
        };
        callers
            && Arc::ptr_eq(&self.operation, &other.operation)
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
        key.event.render_cache.find(|rendering: &Rendering| {
            let same = rendering.metadata == key.metadata && rendering.selection.equal(self);
            same.then(|| Arc::clone(&rendering.text))
        })
    }

    /// Serialises `response` and keeps the text for equal selections. A response with errors is returned as it is.
    pub(super) fn insert(self: &Arc<Self>, key: MessageKey, response: Response) -> OperationResponse {
        if !response.errors.is_empty() {
            return response.into();
        }
        let Ok(text) = serde_json::value::to_raw_value(&response) else { return response.into() };
        let text: Arc<RawValue> = text.into();
        let MessageKey { event, metadata } = key;
        event.render_cache.insert(Rendering { selection: Arc::clone(self), metadata, text: Arc::clone(&text) });
        OperationResponse::Json(text)
    }
}
