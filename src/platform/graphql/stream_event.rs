//! A message of a stream as the API shows it.

use std::borrow::Cow;

use async_graphql::{ObjectType, SimpleObject, TypeName};

use super::shown::Shown;
use crate::platform::{
    event::Cursor,
    subscription::{Change, ChangeOperation},
};

/// A message of a subscription. Its type is named after the record: a `ChatEvent` has a `Chat`.
#[derive(SimpleObject)]
#[graphql(name_type)]
pub struct StreamEvent<T: ObjectType> {
    /// What the message means for the record.
    operation: ChangeOperation,
    /// The record as it is after the change; null on READY. In a DELETE its objects and lists are null or empty, and if
    /// the caller may no longer see the record, its fields are as the caller last saw them.
    record: Option<Shown<T>>,
    /// Resumes the subscription after this message, as the argument `after`.
    cursor: Cursor,
    /// True when the present state is sent again because the log does not hold all changes in between.
    resync: bool,
}

impl<T: ObjectType> StreamEvent<T> {
    /// The message of a change whose record is shown as `record`.
    pub(super) fn new<R>(change: Change<R>, record: Option<Shown<T>>) -> Self {
        let Change { operation, cursor, resync, .. } = change;
        Self { operation, record, cursor, resync }
    }
}

impl<T: ObjectType> TypeName for StreamEvent<T> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Event", T::type_name()).into()
    }
}
