//! One event, executed and written as JSON once for all subscriptions that show the same of it.
//!
//! ```text
//! a stream's item ─► resolve ─► was this event written for an equal reading? ── yes ─► its text, as it is
//!                                    └ no ─► execute ─► write ─► keep the text with the event
//! ```
//!
//! Two readings are equal when they are the same operation of the same document with equal variables for an equal
//! caller, and one message is like another when its operation, cursor and resync are. All that a resolver may use is
//! among these, so what it makes is the same; whether a subscription gets the event at all is decided before, for each.
//! Only messages without errors are kept.

use std::{
    borrow::Cow,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_graphql::{
    ContextSelectionSet, Name, OutputType, Positioned, Response, ServerResult, Value, Variables, parser::types::Field,
    registry::Registry,
};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{
    document::Operation,
    subscribe::{Change, ChangeOperation},
};
use crate::{
    auth::Caller,
    event::{Cursor, Event},
};

/// One message of an operation, as a transport sends it.
#[derive(Debug)]
pub enum Answer {
    /// Made for this subscription alone, or the result of a query or mutation.
    Own(Box<Response>),
    /// Made once for many.
    Shared(Arc<RawValue>),
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Own(response) => response.serialize(serializer),
            Self::Shared(text) => text.serialize(serializer),
        }
    }
}

/// What of a message decides how it looks, besides the event and who reads it.
#[derive(Debug, Clone, PartialEq)]
struct Envelope {
    operation: ChangeOperation,
    cursor: Cursor,
    resync: bool,
}

/// A message of a stream that may look the same to many.
pub struct Shared<T> {
    message: T,
    source: Option<(Arc<Event>, Envelope)>,
}

impl<R, T: From<Change<R>>> From<Change<R>> for Shared<T> {
    fn from(mut change: Change<R>) -> Self {
        let source = change.event.take().map(|event| {
            let Change { operation, cursor, resync, .. } = &change;
            (event, Envelope { operation: *operation, cursor: cursor.clone(), resync: *resync })
        });
        Self { message: change.into(), source }
    }
}

/// Who reads, and what it asks for.
#[derive(Debug)]
struct Terms {
    plan: Arc<Operation>,
    /// In the order of their names. (As [`Variables`] they would take a kilobyte, for as long as the stream is open.)
    variables: Box<[(Name, Value)]>,
    caller: Caller,
}

impl Terms {
    fn equal(&self, other: &Self) -> bool {
        let callers = match (&self.caller, &other.caller) {
            (Caller::Known(one), Caller::Known(other)) => Arc::ptr_eq(one, other) || one == other,
            (Caller::Anonymous, Caller::Anonymous) => true,
            _ => false,
        };
        callers && Arc::ptr_eq(&self.plan, &other.plan) && self.variables == other.variables
    }
}

/// A message as it was written for one reading, kept with its event.
struct Written {
    terms: Arc<Terms>,
    envelope: Envelope,
    text: Arc<RawValue>,
}

/// The message that is being made.
#[derive(Debug, Default)]
enum Turn {
    /// Nobody else's.
    #[default]
    Own,
    /// The first of its kind: to be kept with its event.
    First(Arc<Event>, Envelope),
    /// Known already; what the execution gives is of no use.
    Known(Arc<RawValue>),
}

/// One subscription's place between the resolver, which knows the event, and the engine, which writes the answer.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    terms: Arc<Terms>,
    turn: Arc<Mutex<Turn>>,
}

impl Reading {
    pub(super) fn new(plan: Arc<Operation>, variables: &Variables, caller: Caller) -> Self {
        let variables = variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { terms: Arc::new(Terms { plan, variables, caller }), turn: Arc::default() }
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        // Nothing panics while it holds the lock.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if the message need not be executed.
    fn is_known(&self, event: &Arc<Event>, envelope: &Envelope) -> bool {
        let known = event.memo.find(|written: &Written| {
            let same = written.envelope == *envelope && written.terms.equal(&self.terms);
            same.then(|| Arc::clone(&written.text))
        });
        let is_known = known.is_some();
        *self.turn() = known.map_or_else(|| Turn::First(Arc::clone(event), envelope.clone()), Turn::Known);
        is_known
    }

    /// The answer to send, where the execution of the present message gave `response`.
    pub(super) fn answer(&self, response: Response, finish: impl FnOnce(Response) -> Response) -> Answer {
        let (event, envelope) = match mem::take(&mut *self.turn()) {
            Turn::Known(text) => return Answer::Shared(text),
            Turn::Own => return Answer::Own(finish(response).into()),
            Turn::First(event, envelope) => (event, envelope),
        };
        let response = finish(response);
        if !response.errors.is_empty() {
            return Answer::Own(response.into());
        }
        let Ok(text) = serde_json::value::to_raw_value(&response) else { return Answer::Own(response.into()) };
        let text: Arc<RawValue> = text.into();
        event.memo.keep(Written { terms: Arc::clone(&self.terms), envelope, text: Arc::clone(&text) });
        Answer::Shared(text)
    }
}

impl<T: OutputType> OutputType for Shared<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(&self, context: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        if let Some((event, envelope)) = &self.source
            && let Some(reading) = context.data_opt::<Reading>()
            && reading.is_known(event, envelope)
        {
            return Ok(Value::Null);
        }
        self.message.resolve(context, field).await
    }
}
