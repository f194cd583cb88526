//! One event, executed and written as JSON once for all subscriptions that show the same of it.
//!
//! Two readings are equal when they are the same operation of the same document with equal variables for an equal
//! caller, and one message is like another when its operation, cursor and resync are. All that a resolver may use is
//! among these, so what it makes is the same; whether a subscription gets the event at all is decided before, for each.
//! Only messages without errors are kept.

use std::{collections::HashSet, sync::Arc};

use async_graphql::{Name, Request, Response, Value, Variables};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{document::Operation, variables};
use crate::platform::subscription::{Change, ChangeOperation};
use crate::platform::{
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

/// Which message it is: the event that it tells of, and what else decides how it looks, besides who reads it.
#[derive(Debug)]
pub(super) struct MessageKey {
    event: Arc<Event>,
    envelope: Envelope,
}

#[derive(Debug, PartialEq)]
struct Envelope {
    operation: ChangeOperation,
    cursor: Cursor,
    resync: bool,
}

impl MessageKey {
    /// Of a change, if others may be told of it too; takes its event.
    pub(super) fn of<R>(change: &mut Change<R>) -> Option<Self> {
        let event = change.event.take()?;
        let envelope = Envelope { operation: change.operation, cursor: change.cursor.clone(), resync: change.resync };
        Some(Self { event, envelope })
    }
}

/// A message as it was written for one reading, kept with its event.
struct Written {
    reading: Arc<Reading>,
    envelope: Envelope,
    text: Arc<RawValue>,
}

/// Who reads, and what it asks for.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) plan: Arc<Operation>,
    /// In the order of their names. (As [`Variables`] they would take a kilobyte, for as long as the stream is open.)
    variables: Box<[(Name, Value)]>,
    absent: HashSet<Name>,
    pub(super) caller: Caller,
}

impl Reading {
    pub(super) fn new(plan: Arc<Operation>, variables: &Variables, absent: HashSet<Name>, caller: Caller) -> Self {
        let variables = variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { plan, variables, absent, caller }
    }

    fn equal(&self, other: &Self) -> bool {
        let callers = match (&self.caller, &other.caller) {
            (Caller::Known(one), Caller::Known(other)) => Arc::ptr_eq(one, other) || one == other,
            (Caller::Anonymous, Caller::Anonymous) => true,
            _ => false,
        };
        callers
            && Arc::ptr_eq(&self.plan, &other.plan)
            && self.variables == other.variables
            && self.absent == other.absent
    }

    /// The request that resolves one message.
    pub(super) fn request(&self) -> Request {
        let mut variables = Variables::default();
        variables.extend(self.variables.iter().cloned());
        let mut executable = self.plan.of_a_message();
        variables::omit_absent(&mut executable, &self.absent);
        let mut request = Request::new(String::new()).variables(variables);
        request.set_parsed_query(executable);
        request
    }

    /// The text of this message, if it was written already for an equal reading.
    pub(super) fn find(&self, key: &MessageKey) -> Option<Arc<RawValue>> {
        key.event.memo.find(|written: &Written| {
            let same = written.envelope == key.envelope && written.reading.equal(self);
            same.then(|| Arc::clone(&written.text))
        })
    }

    /// Keeps an answer for equal readings, if it can be.
    pub(super) fn keep(self: &Arc<Self>, key: MessageKey, response: Response) -> Answer {
        if !response.errors.is_empty() {
            return Answer::Own(response.into());
        }
        let Ok(text) = serde_json::value::to_raw_value(&response) else { return Answer::Own(response.into()) };
        let text: Arc<RawValue> = text.into();
        let MessageKey { event, envelope } = key;
        event.memo.keep(Written { reading: Arc::clone(self), envelope, text: Arc::clone(&text) });
        Answer::Shared(text)
    }
}
