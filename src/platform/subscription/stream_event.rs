//! A message of a stream as the API shows it.

use std::borrow::Cow;

use async_graphql::{OutputType, SimpleObject, TypeName};

use super::{Change, ChangeOperation};
use crate::platform::event::Cursor;

/// A message of a subscription. Its type is named after the record: a `ChatEvent` has a `Chat`.
#[derive(SimpleObject)]
#[graphql(name_type)]
pub struct StreamEvent<T: OutputType> {
    /// What the message means for the record.
    operation: ChangeOperation,
    /// The record as it is after the change; null on READY.
    record: Option<T>,
    /// Resumes the subscription after this message, as the argument `after`.
    cursor: Cursor,
    /// True when the present state is sent again because the log does not hold all changes in between.
    resync: bool,
}

impl<T: OutputType> TypeName for StreamEvent<T> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Event", T::type_name()).into()
    }
}

impl<R, T: OutputType + From<R>> From<Change<R>> for StreamEvent<T> {
    fn from(change: Change<R>) -> Self {
        let Change { operation, record, cursor, resync, .. } = change;
        Self { operation, record: record.map(T::from), cursor, resync }
    }
}
