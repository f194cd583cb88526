//! GraphQL responses over HTTP: status code, headers, body.
//!
//! | outcome                                                | `application/json` | `…/graphql-response+json` |
//! |--------------------------------------------------------|--------------------|---------------------------|
//! | executed, data not null (errors in fields or not)      | 200                | 200                       |
//! | executed, data null                                    | 200                | 200                       |
//! | executed, data null, every error one of the four below | that code's status | that code's status        |
//! | does not parse, validate, or fit its variables         | 200                | 400                       |
//! | not a request: JSON or shape, media type, method, size | 400, 415, 405, 413 | the same                  |
//!
//! The four codes are `UNAUTHENTICATED` 401, `RATE_LIMITED` 429, `UNAVAILABLE` 503 and `PAYLOAD_TOO_LARGE` 413. The
//! specification demands 200 where such an error made the data null. Here they keep their status with both media types:
//! proxies, retrying clients and token refreshers look at the status alone, and there is no result to lose.
//!
//! The response to an executed request always has a `data` member; any other response never has one.

use std::{collections::BTreeMap, io};

use async_graphql::{Response as GraphqlResponse, ServerError, Value};
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;

use super::negotiation::ResponseType;
use crate::platform::{
    budget,
    error::{Code, Error, RETRY_AFTER_MS},
    graphql::error_response::{Refusal, server_error},
};

/// The result of one GraphQL request, before it is written.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The engine executed it; the response may hold errors.
    Executed(GraphqlResponse),
    /// The engine refused to execute it.
    Refused(Refusal),
    /// The transport refused it before the engine ran it.
    TransportError(StatusCode, Error),
}

/// Codes that determine the status for both media types.
const STATUS_CODES: [Code; 4] = [Code::Unauthenticated, Code::RateLimited, Code::Unavailable, Code::PayloadTooLarge];

impl Outcome {
    /// The status, by the table in the module's documentation.
    pub(super) fn status(&self, kind: ResponseType) -> StatusCode {
        match self {
            Self::TransportError(status, _) => *status,
            Self::Refused(Refusal { code, .. }) => match kind {
                ResponseType::GraphqlResponse => code.status(),
                ResponseType::Json if STATUS_CODES.contains(code) || *code == Code::Internal => code.status(),
                ResponseType::Json => StatusCode::OK,
            },
            Self::Executed(response) if response.data == Value::Null => {
                let unanimous = |code: &&Code| {
                    let mut errors = response.errors.iter();
                    !response.errors.is_empty() && errors.all(|error| has_code(error, **code))
                };
                STATUS_CODES.iter().find(unanimous).map_or(StatusCode::OK, |code| code.status())
            }
            Self::Executed(_) => StatusCode::OK,
        }
    }

    /// The longest time that one of its errors names for a retry.
    fn retry_after_ms(&self) -> Option<u64> {
        let of = |error: &ServerError| match error.extensions.as_ref()?.get("retryAfterMs")? {
            Value::Number(ms) => ms.as_u64(),
            _ => None,
        };
        match self {
            Self::Executed(response) => response.errors.iter().filter_map(of).max(),
            Self::Refused(refusal) => refusal.response.errors.iter().filter_map(of).max(),
            Self::TransportError(_, error) => error.retry_after_ms(),
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let none = BTreeMap::new();
        let transport_error;
        let (errors, data, extensions) = match self {
            Self::Executed(response) => (&*response.errors, Some(&response.data), &response.extensions),
            Self::Refused(refusal) => (&*refusal.response.errors, None, &refusal.response.extensions),
            Self::TransportError(_, error) => {
                transport_error = [server_error(error)];
                (&transport_error[..], None, &none)
            }
        };
        ResponseBody { errors, data, extensions }.serialize(serializer)
    }
}

/// The JSON object of one response. Errors come first, so that a person who reads it sees them.
#[derive(Serialize)]
struct ResponseBody<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ServerError],
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extensions: &'a BTreeMap<String, Value>,
}

fn has_code(error: &ServerError, code: Code) -> bool {
    matches!(error.extensions.as_ref().and_then(|map| map.get("code")), Some(Value::String(text)) if text == code.as_str())
}

/// The response to a single request, of at most `limit` bytes.
pub(super) fn single(kind: ResponseType, outcome: &Outcome, limit: usize) -> Response {
    json(kind, outcome.status(kind), outcome.retry_after_ms(), outcome, limit)
}

/// The response to a batch, of at most `limit` bytes: an array in the order of the requests. Its status is their common
/// status, else 200.
pub(super) fn batch(kind: ResponseType, outcomes: &[Outcome], limit: usize) -> Response {
    let mut statuses = outcomes.iter().map(|outcome| outcome.status(kind));
    let first = statuses.next().unwrap_or(StatusCode::OK);
    let status = if statuses.all(|status| status == first) { first } else { StatusCode::OK };
    json(kind, status, outcomes.iter().filter_map(Outcome::retry_after_ms).max(), outcomes, limit)
}

/// The response to a request that the transport refuses.
pub(super) fn error(kind: ResponseType, status: StatusCode, error: Error) -> Response {
    single(kind, &Outcome::TransportError(status, error), usize::MAX)
}

/// The response on a connection that this server has no room for.
pub(super) fn full() -> Response {
    let problem = Error::new(Code::RateLimited, "the server has no room for another connection");
    error(ResponseType::Json, StatusCode::SERVICE_UNAVAILABLE, problem)
}

/// The response for a path that does not exist.
pub(super) fn not_found() -> Response {
    let problem = Error::new(Code::NotFound, "no such path; GraphQL is at /graphql");
    error(ResponseType::Json, StatusCode::NOT_FOUND, problem)
}

/// Text of at most `limit` bytes.
struct BoundedText {
    bytes: Vec<u8>,
    limit: usize,
}

impl io::Write for BoundedText {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.write_all(part).map(|()| part.len())
    }

    fn write_all(&mut self, part: &[u8]) -> io::Result<()> {
        if part.len() > self.limit - self.bytes.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn json<T: Serialize + ?Sized>(
    kind: ResponseType,
    status: StatusCode,
    retry_after_ms: Option<u64>,
    content: &T,
    limit: usize,
) -> Response {
    let mut text = BoundedText { bytes: Vec::with_capacity(128), limit };
    if let Err(problem) = serde_json::to_writer(&mut text, content) {
        if problem.is_io() {
            return self::error(kind, StatusCode::PAYLOAD_TOO_LARGE, budget::too_large(limit));
        }
        tracing::error!("a GraphQL response could not be written as JSON");
        return self::error(kind, StatusCode::INTERNAL_SERVER_ERROR, Error::internal("response is not JSON"));
    }
    let bytes = text.bytes;
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind.content_type()));
    match status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            headers.insert(header::RETRY_AFTER, retry_after_ms.unwrap_or(RETRY_AFTER_MS).div_ceil(1_000).into());
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    response
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use async_graphql::value;

    use super::*;

    fn response(data: Value, codes: &[Code]) -> GraphqlResponse {
        let errors = codes.iter().map(|code| server_error(&Error::new(*code, "x"))).collect();
        let mut response = GraphqlResponse::new(data);
        response.errors = errors;
        response
    }

    #[test]
    fn the_status_follows_the_table_of_outcomes() {
        use Code::{
            Forbidden, Internal, ParseFailed, PayloadTooLarge, QueryTooComplex, RateLimited, Unauthenticated,
            Unavailable,
        };
        let executed: &[(Value, &[Code], u16)] = &[
            (value!({ "a": 1 }), &[], 200),
            (value!({ "a": null }), &[Unauthenticated], 200),
            (Value::Null, &[Unauthenticated], 401),
            (Value::Null, &[Unauthenticated, Unauthenticated], 401),
            (Value::Null, &[Unauthenticated, Forbidden], 200),
            (Value::Null, &[Unavailable], 503),
            (Value::Null, &[RateLimited], 429),
            (Value::Null, &[Internal], 200),
        ];
        for kind in [ResponseType::Json, ResponseType::GraphqlResponse] {
            for (data, codes, status) in executed {
                let outcome = Outcome::Executed(response(data.clone(), codes));
                assert_eq!(outcome.status(kind), *status, "{kind:?} {data} {codes:?}");
            }
        }
        for (code, json, graphql) in [
            (ParseFailed, 200, 400),
            (QueryTooComplex, 200, 400),
            (PayloadTooLarge, 413, 413),
            (RateLimited, 429, 429),
            (Internal, 500, 500),
        ] {
            let outcome = Outcome::Refused(Refusal { code, response: response(Value::Null, &[code]) });
            assert_eq!(outcome.status(ResponseType::Json), json, "{code:?}");
            assert_eq!(outcome.status(ResponseType::GraphqlResponse), graphql, "{code:?}");
        }
    }

    #[test]
    fn an_answer_over_the_limit_is_not_written() {
        let outcome = Outcome::Executed(GraphqlResponse::new(value!({ "a": "123456789" })));
        let written = serde_json::to_vec(&outcome).unwrap().len();
        assert_eq!(single(ResponseType::Json, &outcome, written).status(), StatusCode::OK);
        assert_eq!(single(ResponseType::Json, &outcome, written - 1).status(), StatusCode::PAYLOAD_TOO_LARGE);
        let outcomes = [outcome];
        assert_eq!(batch(ResponseType::Json, &outcomes, written + 1).status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(batch(ResponseType::Json, &outcomes, written + 2).status(), StatusCode::OK);
    }

    #[test]
    fn only_an_executed_request_has_a_data_member() {
        let text = |outcome: &Outcome| serde_json::to_string(outcome).unwrap();
        let null = || response(Value::Null, &[Code::NotFound]);
        let errors = r#""errors":[{"message":"x","extensions":{"code":"NOT_FOUND"}}]"#;
        assert_eq!(text(&Outcome::Executed(null())), format!("{{{errors},\"data\":null}}"));
        assert_eq!(
            text(&Outcome::Refused(Refusal { code: Code::NotFound, response: null() })),
            format!("{{{errors}}}")
        );
        let error = Outcome::TransportError(StatusCode::NOT_FOUND, Error::new(Code::NotFound, "x"));
        assert_eq!(text(&error), format!("{{{errors}}}"));
        assert_eq!(text(&Outcome::Executed(GraphqlResponse::new(value!({ "a": 1 })))), r#"{"data":{"a":1}}"#);
    }
}
