//! The one place where errors get their wire form: `extensions.code`, a message that is fit to be sent, one log
//! line where the fault is ours, one count.
//!
//! ```text
//! resolver: Err(crate::platform::error::Error) ─► ServerError.source ─┐
//! async-graphql: input that does not parse ────────────────┼─► code, message, retryAfterMs
//! anything else (text hidden, logged) ─────────────────────┘
//! ```

use std::{any::Any, collections::HashSet, sync::Arc};

use async_graphql::{PathSegment, Pos, Response, ServerError, Value, indexmap::IndexMap};

use super::{document::Operation, engine::Refusal, nulls, types::Types};
use crate::platform::error::{Code, Error, RETRY_AFTER_MS};

/// Most errors that one refusal lists; a document full of mistakes gets the first of them.
const MOST_ERRORS: usize = 20;
const INTERNAL: &str = "internal server error";

/// A refusal for one reason.
pub(super) fn refuse(code: Code, message: impl Into<String>, locations: Vec<Pos>) -> Refusal {
    let mut error = ServerError::new(message, None);
    error.locations = locations;
    refuse_all(code, vec![error])
}

/// A refusal for several reasons of one kind.
pub(super) fn refuse_all(code: Code, mut errors: Vec<ServerError>) -> Refusal {
    errors.truncate(MOST_ERRORS);
    for error in &mut errors {
        extend(error, code);
    }
    count(code);
    Refusal { code, response: Response::from_errors(errors) }
}

/// A refusal for an error of this crate, which is logged if it is ours.
pub(super) fn refuse_error(error: &Error) -> Refusal {
    error.log("graphql");
    refuse(error.code(), error.message(), vec![])
}

/// The refusal after a panic, which is logged.
pub(super) fn refuse_panic(place: &str, panic: &(dyn Any + Send)) -> Refusal {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without text".to_owned());
    tracing::error!(place, error = text, "panic");
    refuse(Code::Internal, INTERNAL, vec![])
}

/// Gives every error of an executed operation its wire form.
pub(super) fn finish(mut response: Response, operation: &Operation, types: &Types) -> Response {
    if !response.errors.is_empty() {
        nulls::complete(&mut response.data, &response.errors, operation, types);
    }
    // One fault that many fields share (a data loader's) is one line in the log.
    let mut logged = HashSet::new();
    for error in &mut response.errors {
        encode(error, &mut logged);
    }
    if response.errors.is_empty() && response.data == Value::Null {
        // Everything was skipped: an empty object, as nothing failed.
        response.data = Value::Object(IndexMap::new());
    }
    response
}

fn encode(error: &mut ServerError, logged: &mut HashSet<*const Error>) {
    let source = error.source.take();
    let cause = source.as_deref().and_then(|source| {
        source.downcast_ref::<Error>().or_else(|| source.downcast_ref::<Arc<Error>>().map(AsRef::as_ref))
    });
    let code = match cause {
        Some(cause) => {
            if logged.insert(std::ptr::from_ref(cause)) {
                cause.log(&place(error));
            }
            cause.message().clone_into(&mut error.message);
            cause.code()
        }
        None if is_input(&error.message) => Code::BadUserInput,
        None => {
            tracing::error!(place = place(error), error = error.message, "internal error");
            Code::Internal
        }
    };
    if code == Code::Internal {
        INTERNAL.clone_into(&mut error.message);
    }
    extend(error, code);
    count(code);
}

fn extend(error: &mut ServerError, code: Code) {
    let extensions = error.extensions.get_or_insert_default();
    extensions.set("code", code.as_str());
    if code == Code::Unavailable {
        extensions.set("retryAfterMs", RETRY_AFTER_MS);
    }
}

/// True for what async-graphql says of a scalar, enum or input object that does not parse. These errors have no
/// source to tell them by, only their wording.
fn is_input(message: &str) -> bool {
    message.starts_with("Failed to parse \"")
        || message.starts_with("Expected input type \"")
        || (message.starts_with("Variable ") && message.ends_with(" is not defined."))
}

/// `graphql chats.nodes.contract`, without indexes and aliases' values, for the log.
fn place(error: &ServerError) -> String {
    let mut place = "graphql".to_owned();
    let mut separator = ' ';
    for segment in &error.path {
        if let PathSegment::Field(name) = segment {
            place.push(separator);
            place.push_str(name);
            separator = '.';
        }
    }
    place
}

fn count(code: Code) {
    metrics::counter!("switchboard_graphql_errors_total", "code" => code.as_str()).increment(1);
}
