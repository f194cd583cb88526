//! Errors as clients receive them: `extensions.code` on each, no internal text. Every error is counted here, and each
//! internal fault is logged here once.
//!
//! ```text
//! a resolver's platform::error::Error, as ServerError.source ──► its code and message
//! input that async-graphql cannot parse, known by its wording ─► BAD_USER_INPUT
//! everything else ────────────────► INTERNAL_SERVER_ERROR; the text is logged, not sent
//! ```

use std::{any::Any, collections::HashMap, sync::Arc};

use async_graphql::{
    PathSegment, Pos, Response, ServerError, Value, indexmap::IndexMap, parser::types::ExecutableDocument,
};

use super::{nulls, types::Types};
use crate::platform::error::{Code, Error};

/// Most errors in one refusal. Of a document with more mistakes the first ones are listed.
const MAX_ERRORS: usize = 20;
const INTERNAL: &str = "internal server error";

/// Why a request was not executed at all.
#[derive(Debug)]
pub struct Refusal {
    /// Decides the HTTP status.
    pub code: Code,
    /// A complete response: errors with `extensions.code`, no data.
    pub response: Response,
}

/// A refusal with one error.
pub(super) fn refuse(code: Code, message: impl Into<String>, locations: Vec<Pos>) -> Refusal {
    let mut error = ServerError::new(message, None);
    error.locations = locations;
    refuse_all(code, vec![error])
}

/// A refusal with several errors of the same code.
pub(super) fn refuse_all(code: Code, mut errors: Vec<ServerError>) -> Refusal {
    errors.truncate(MAX_ERRORS);
    for error in &mut errors {
        extend(error, code, None);
    }
    count(code);
    Refusal { code, response: Response::from_errors(errors) }
}

/// A refusal for `error`, which is logged if it is a fault of this server.
pub(super) fn refuse_error(error: &Error) -> Refusal {
    error.log("graphql");
    let mut refusal = refuse(error.code(), error.message(), vec![]);
    for shown in &mut refusal.response.errors {
        extend(shown, error.code(), error.retry_after_ms());
    }
    refusal
}

/// A refusal for a panic, which is logged with its message. `place` is where it was caught.
pub(super) fn refuse_panic(place: &str, panic: &(dyn Any + Send)) -> Refusal {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without text".to_owned());
    tracing::error!(place, error = text, "panic");
    refuse(Code::Internal, INTERNAL, vec![])
}

/// Completes the response of an executed operation: nulls where fields failed, a code and a message for each error.
pub(super) fn finish(mut response: Response, document: &ExecutableDocument, types: &Types) -> Response {
    if !response.errors.is_empty() {
        nulls::propagate(&mut response.data, &response.errors, document, types);
    }
    let mut faults = Faults::default();
    for error in &mut response.errors {
        encode(error, &mut faults);
    }
    faults.log();
    if response.errors.is_empty() && response.data == Value::Null {
        // Every field was skipped and none failed: the data is an empty object.
        response.data = Value::Object(IndexMap::new());
    }
    response
}

/// The faults of this server in one response, each cause once: a database that is away fails hundreds of fields, each with
/// an error of its own.
#[derive(Default)]
struct Faults {
    /// By the text for the log: an error, the place of the first field that it failed, and the number of fields.
    by_text: HashMap<String, (Error, String, usize)>,
}

impl Faults {
    fn add(&mut self, fault: &Error, failed: &ServerError) {
        if fault.is_logged() {
            let first = || (fault.clone(), place(failed), 0);
            self.by_text.entry(fault.chain()).or_insert_with(first).2 += 1;
        }
    }

    fn log(self) {
        for (fault, place, fields) in self.by_text.into_values() {
            if fields > 1 { fault.log(&format!("{place} and {} more fields", fields - 1)) } else { fault.log(&place) }
        }
    }
}

fn encode(error: &mut ServerError, faults: &mut Faults) {
    let source = error.source.take();
    let cause = source.as_deref().and_then(|source| {
        source.downcast_ref::<Error>().or_else(|| source.downcast_ref::<Arc<Error>>().map(AsRef::as_ref))
    });
    let code = match cause {
        Some(cause) => {
            faults.add(cause, error);
            cause.message().clone_into(&mut error.message);
            cause.code()
        }
        None if is_input(&error.message) => Code::BadUserInput,
        None => {
            faults.add(&Error::internal(error.message.clone()), error);
            Code::Internal
        }
    };
    if code == Code::Internal {
        INTERNAL.clone_into(&mut error.message);
    }
    extend(error, code, cause.and_then(Error::retry_after_ms));
    count(code);
}

fn extend(error: &mut ServerError, code: Code, retry_after_ms: Option<u64>) {
    let extensions = error.extensions.get_or_insert_default();
    extensions.set("code", code.as_str());
    if let Some(ms) = retry_after_ms {
        extensions.set("retryAfterMs", ms);
    }
}

/// `error` as transports show it that refuse a request themselves.
pub(in crate::platform) fn server_error(error: &Error) -> ServerError {
    let mut shown = ServerError::new(error.message(), None);
    extend(&mut shown, error.code(), error.retry_after_ms());
    shown
}

/// True for async-graphql's errors about a scalar, enum or input object that does not parse. They carry no source, so
/// they are recognised by their wording.
fn is_input(message: &str) -> bool {
    message.starts_with("Failed to parse \"")
        || message.starts_with("Expected input type \"")
        || (message.starts_with("Variable ") && message.ends_with(" is not defined."))
}

/// The error's path for the log, without list indexes: `graphql chats.nodes.contract`.
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
