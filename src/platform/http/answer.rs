//! Status codes and bytes of GraphQL answers.
//!
//! | what happened                                          | `application/json` | `…/graphql-response+json` |
//! |--------------------------------------------------------|--------------------|---------------------------|
//! | executed, data not null (errors in fields or not)      | 200                | 200                       |
//! | executed, data null                                    | 200                | 200                       |
//! | executed, data null, every error one of the four below | that code's status | that code's status        |
//! | does not parse, validate, or fit its variables         | 200                | 400                       |
//! | not a request: JSON or shape, media type, method, size | 400, 415, 405, 413 | the same                  |
//!
//! The four are `UNAUTHENTICATED` 401, `RATE_LIMITED` 429, `UNAVAILABLE` 503 and `PAYLOAD_TOO_LARGE` 413. The
//! specification would answer 200 where such an error made the data null; here they keep their status with both
//! media types, because proxies, retrying clients and token refreshers act on the status alone and nothing was
//! executed that a cache or a client could keep.
//!
//! A request that was not executed has no `data` member; an executed one always has.

use std::collections::BTreeMap;

use async_graphql::{ErrorExtensionValues, Response as GraphqlResponse, ServerError, Value};
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;

use super::negotiation::ResponseType;
use crate::platform::{
    error::{Code, Error, RETRY_AFTER_MS},
    graphql::error_response::Refusal,
};

/// What became of one GraphQL request.
#[derive(Debug)]
pub enum Outcome {
    /// It ran, perhaps with errors.
    Executed(GraphqlResponse),
    /// The engine did not run it.
    Refused(Refusal),
    /// The transport did not hand it to the engine.
    Denied(StatusCode, Error),
}

/// Codes that decide the status whatever the media type.
const DECISIVE: [Code; 4] = [Code::Unauthenticated, Code::RateLimited, Code::Unavailable, Code::PayloadTooLarge];

impl Outcome {
    /// The status, by the table above.
    pub fn status(&self, kind: ResponseType) -> StatusCode {
        match self {
            Self::Denied(status, _) => *status,
            Self::Refused(Refusal { code, .. }) => match kind {
                ResponseType::GraphqlResponse => code.status(),
                ResponseType::Json if DECISIVE.contains(code) || *code == Code::Internal => code.status(),
                ResponseType::Json => StatusCode::OK,
            },
            Self::Executed(response) if response.data == Value::Null => {
                let unanimous = |code: &&Code| {
                    let mut errors = response.errors.iter();
                    !response.errors.is_empty() && errors.all(|error| has_code(error, **code))
                };
                DECISIVE.iter().find(unanimous).map_or(StatusCode::OK, |code| code.status())
            }
            Self::Executed(_) => StatusCode::OK,
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let none = BTreeMap::new();
        let denial;
        let (errors, data, extensions) = match self {
            Self::Executed(response) => (&*response.errors, Some(&response.data), &response.extensions),
            Self::Refused(refusal) => (&*refusal.response.errors, None, &refusal.response.extensions),
            Self::Denied(_, error) => {
                denial = [server_error(error)];
                (&denial[..], None, &none)
            }
        };
        Wire { errors, data, extensions }.serialize(serializer)
    }
}

/// Errors come first, so that a person who reads the bytes sees them.
#[derive(Serialize)]
struct Wire<'a> {
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

fn server_error(error: &Error) -> ServerError {
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", error.code().as_str());
    if error.code() == Code::Unavailable {
        extensions.set("retryAfterMs", RETRY_AFTER_MS);
    }
    let mut answer = ServerError::new(error.message(), None);
    answer.extensions = Some(extensions);
    answer
}

/// The answer to one request.
pub fn single(kind: ResponseType, outcome: &Outcome) -> Response {
    written(kind, outcome.status(kind), outcome)
}

/// The answer to a batch: an array in the order of the requests. Its status is theirs where they agree, else 200.
pub fn batch(kind: ResponseType, outcomes: &[Outcome]) -> Response {
    let mut statuses = outcomes.iter().map(|outcome| outcome.status(kind));
    let first = statuses.next().unwrap_or(StatusCode::OK);
    let status = if statuses.all(|status| status == first) { first } else { StatusCode::OK };
    written(kind, status, outcomes)
}

/// An answer by the transport alone.
pub fn denied(kind: ResponseType, status: StatusCode, error: Error) -> Response {
    single(kind, &Outcome::Denied(status, error))
}

fn written<T: Serialize + ?Sized>(kind: ResponseType, status: StatusCode, content: &T) -> Response {
    let Ok(bytes) = serde_json::to_vec(content) else {
        tracing::error!("a GraphQL response could not be written as JSON");
        return denied(kind, StatusCode::INTERNAL_SERVER_ERROR, Error::internal("response is not JSON"));
    };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind.content_type()));
    match status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_MS.div_ceil(1_000).into());
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
    fn the_status_follows_the_table() {
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
    fn only_an_executed_request_has_data() {
        let text = |outcome: &Outcome| serde_json::to_string(outcome).unwrap();
        let null = || response(Value::Null, &[Code::NotFound]);
        let errors = r#""errors":[{"message":"x","extensions":{"code":"NOT_FOUND"}}]"#;
        assert_eq!(text(&Outcome::Executed(null())), format!("{{{errors},\"data\":null}}"));
        assert_eq!(
            text(&Outcome::Refused(Refusal { code: Code::NotFound, response: null() })),
            format!("{{{errors}}}")
        );
        let denied = Outcome::Denied(StatusCode::NOT_FOUND, Error::new(Code::NotFound, "x"));
        assert_eq!(text(&denied), format!("{{{errors}}}"));
        assert_eq!(text(&Outcome::Executed(GraphqlResponse::new(value!({ "a": 1 })))), r#"{"data":{"a":1}}"#);
    }
}
