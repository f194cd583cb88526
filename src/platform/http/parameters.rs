//! Parses the parameters of GraphQL over HTTP from a JSON body or a query string. Pure functions.
//!
//! ```text
//! {"query": string, "operationName": string?, "variables": object?, "extensions": object?}     one request
//! [{…}, {…}]                                                                                   a batch
//! ?query=…&operationName=…&variables={…}&extensions={…}                                        GET, one request
//! ```
//! `null` is the same as absent, and unknown members are ignored, as the specification demands. An error names the
//! parameter that is wrong. A valid body is parsed in one pass over its bytes; an invalid one is parsed a second time
//! to find the reason.

use async_graphql::Variables;
use percent_encoding::percent_decode;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::platform::{
    error::{Code, Error, Result},
    graphql::engine::GraphqlRequest,
};

/// The body of a POST.
#[derive(Debug)]
pub(super) enum RequestBody {
    /// A JSON object.
    Single(GraphqlRequest),
    /// A JSON array. The response is an array in the same order.
    Batch(Vec<GraphqlRequest>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters<'a> {
    query: String,
    #[serde(default)]
    operation_name: Option<String>,
    #[serde(default)]
    variables: Option<Variables>,
    #[serde(default, borrow)]
    extensions: Option<&'a RawValue>,
}

/// Parses the body of a POST. A batch has at most `batch_limit` requests; a limit of 1 refuses every array.
///
/// # Errors
/// `BAD_USER_INPUT`; `PAYLOAD_TOO_LARGE` for too many requests.
pub(super) fn from_body(body: &[u8], batch_limit: usize) -> Result<RequestBody> {
    match first(body) {
        None => Err(invalid("the body is empty; send a JSON object with the member \"query\"")),
        Some(b'[') => {
            if batch_limit == 1 {
                return Err(invalid("batched requests are turned off; send one JSON object"));
            }
            let parts: Vec<&RawValue> = serde_json::from_slice(body).map_err(not_json)?;
            if parts.is_empty() {
                return Err(invalid("the batch is empty"));
            }
            if parts.len() > batch_limit {
                return Err(Error::new(
                    Code::PayloadTooLarge,
                    format!("more than {batch_limit} requests in one batch"),
                ));
            }
            parts.iter().map(|part| single(part.get().as_bytes())).collect::<Result<_>>().map(RequestBody::Batch)
        }
        Some(_) => single(body).map(RequestBody::Single),
    }
}

fn single(text: &[u8]) -> Result<GraphqlRequest> {
    // The first byte is checked because serde also parses a struct from an array.
    if first(text) == Some(b'{')
        && let Ok(parameters) = serde_json::from_slice::<Parameters<'_>>(text)
        && parameters.extensions.is_none_or(|raw| raw.get().starts_with('{'))
    {
        let Parameters { query, operation_name, variables, .. } = parameters;
        return Ok(GraphqlRequest { query, operation_name, variables: variables.unwrap_or_default() });
    }
    Err(explain(text))
}

/// The error for a `text` that is not a request.
fn explain(text: &[u8]) -> Error {
    let value: Value = match serde_json::from_slice(text) {
        Ok(value) => value,
        Err(error) => return not_json(error),
    };
    let Value::Object(members) = value else {
        return invalid("a request must be a JSON object");
    };
    match members.get("query") {
        None | Some(Value::Null) => return invalid("query: missing"),
        Some(Value::String(_)) => {}
        Some(_) => return invalid("query: must be a string"),
    }
    if !matches!(members.get("operationName"), None | Some(Value::Null | Value::String(_))) {
        return invalid("operationName: must be a string or null");
    }
    for name in ["variables", "extensions"] {
        if !matches!(members.get(name), None | Some(Value::Null | Value::Object(_))) {
            return invalid(format!("{name}: must be an object or null"));
        }
    }
    // A parsed object does not show a repeated member.
    invalid("a member comes more than once, or a variable's name is not a GraphQL name")
}

/// Parses the query string of a GET.
///
/// # Errors
/// `BAD_USER_INPUT`.
pub(super) fn from_query_string(query_string: &str) -> Result<GraphqlRequest> {
    let [mut query, mut operation_name, mut variables, mut extensions] = [const { None::<String> }; 4];
    for pair in query_string.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let slot = match &*decoded(name)? {
            "query" => &mut query,
            "operationName" => &mut operation_name,
            "variables" => &mut variables,
            "extensions" => &mut extensions,
            _ => continue,
        };
        if slot.replace(decoded(value)?).is_some() {
            return Err(invalid(format!("{name}: given more than once")));
        }
    }
    let query = query.ok_or_else(|| invalid("query: missing"))?;
    let object = |name: &str, text: Option<String>| -> Result<Option<Variables>> {
        // Forms and some clients send an empty parameter for "none".
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
        serde_json::from_str(&text).map_err(|_| invalid(format!("{name}: must be a JSON object or null")))
    };
    object("extensions", extensions)?;
    let variables = object("variables", variables)?.unwrap_or_default();
    Ok(GraphqlRequest { query, operation_name: operation_name.filter(|name| !name.is_empty()), variables })
}

/// Decodes one name or value of `application/x-www-form-urlencoded`.
fn decoded(text: &str) -> Result<String> {
    let spaced = text.replace('+', " ");
    let bytes = percent_decode(spaced.as_bytes()).decode_utf8();
    bytes.map(String::from).map_err(|_| invalid("the query string is not UTF-8"))
}

fn first(text: &[u8]) -> Option<u8> {
    text.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::BadUserInput, message)
}

fn not_json(error: serde_json::Error) -> Error {
    invalid(format!("the body is not JSON in UTF-8: {error}"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(result: Result<impl std::fmt::Debug>) -> String {
        result.unwrap_err().message().to_owned()
    }

    #[test]
    fn valid_bodies_are_parsed() {
        let body = br#" {"query":"{a}","operationName":"A","variables":{"x":[1,null]},"extensions":{"y":1},"id":7} "#;
        let RequestBody::Single(request) = from_body(body, 10).unwrap() else { panic!("one request") };
        assert_eq!(request.query, "{a}");
        assert_eq!(request.operation_name.as_deref(), Some("A"));
        assert_eq!(request.variables.to_string(), "{x: [1, null]}");
        let nulls = br#"{"query":"{a}","operationName":null,"variables":null,"extensions":null}"#;
        let RequestBody::Single(request) = from_body(nulls, 10).unwrap() else { panic!("one request") };
        assert_eq!((request.operation_name, request.variables.len()), (None, 0));
        let RequestBody::Batch(requests) = from_body(br#"[{"query":"{a}"},{"query":"{b}"}]"#, 2).unwrap() else {
            panic!("a batch")
        };
        assert_eq!(requests.iter().map(|request| &*request.query).collect::<Vec<_>>(), ["{a}", "{b}"]);
    }

    #[test]
    fn the_error_for_an_invalid_body_names_the_parameter() {
        let table: &[(&[u8], &str)] = &[
            (b"", "empty"),
            (b" \n", "empty"),
            (b"{", "not JSON"),
            (b"{\"query\":\"{a}\"} x", "not JSON"),
            (b"{\"query\":\"\xff\"}", "not JSON in UTF-8"),
            (b"query={a}", "not JSON"),
            (b"null", "must be a JSON object"),
            (b"\"{a}\"", "must be a JSON object"),
            (b"{}", "query: missing"),
            (b"{\"query\":null}", "query: missing"),
            (b"{\"query\":[\"array\"]}", "query: must be"),
            (b"{\"query\":\"{a}\",\"operationName\":0}", "operationName: must be"),
            (b"{\"query\":\"{a}\",\"variables\":\"{}\"}", "variables: must be"),
            (b"{\"query\":\"{a}\",\"variables\":[]}", "variables: must be"),
            (b"{\"query\":\"{a}\",\"extensions\":false}", "extensions: must be"),
            (b"{\"query\":\"{a}\",\"query\":\"{b}\"}", "more than once"),
            (b"[]", "empty"),
            (b"[[\"{a}\"]]", "must be a JSON object"),
            (b"[{\"query\":\"{a}\"},7]", "must be a JSON object"),
            (b"[{\"query\":\"{a}\"}", "not JSON"),
        ];
        for (body, part) in table {
            let text = message(from_body(body, 10));
            assert!(text.contains(part), "{}: {text}", String::from_utf8_lossy(body));
        }
        let deep = [b"{\"query\":\"{a}\",\"variables\":".as_slice(), &b"[".repeat(100_000)].concat();
        assert!(message(from_body(&deep, 10)).contains("not JSON"));
        let long = from_body(br#"[{"query":"{a}"},{"query":"{a}"},{"query":"{a}"}]"#, 2).unwrap_err();
        assert_eq!(long.code(), Code::PayloadTooLarge);
        assert!(message(from_body(br#"[{"query":"{a}"}]"#, 1)).contains("turned off"));
    }

    #[test]
    fn query_strings_are_parsed() {
        let request =
            from_query_string("query=query+A%28%24x%3AInt%29%7Ba%7D&variables=%7B%22x%22%3A1%7D&operationName=A&z=1");
        let request = request.unwrap();
        assert_eq!((&*request.query, request.operation_name.as_deref()), ("query A($x:Int){a}", Some("A")));
        assert_eq!(request.variables.to_string(), "{x: 1}");
        let bare = from_query_string("query={a}&variables=&operationName=&extensions=null").unwrap();
        assert_eq!((bare.operation_name, bare.variables.len()), (None, 0));
        for (text, part) in [
            ("", "query: missing"),
            ("query={a}&query={b}", "more than once"),
            ("query={a}&variables=7", "variables: must be"),
            ("query={a}&variables={", "variables: must be"),
            ("query={a}&extensions=[]", "extensions: must be"),
            ("query=%ff", "not UTF-8"),
        ] {
            assert!(message(from_query_string(text)).contains(part), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused_without_panic(body in proptest::collection::vec(any::<u8>(), 0..200), text in "[ -~]{0,80}") {
            let _ = from_body(&body, 10);
            let _ = from_body(text.as_bytes(), 10);
            let _ = from_query_string(&text);
        }

        #[test]
        fn any_query_and_name_are_parsed_from_both_forms(query in ".{1,60}", name in "[A-Za-z_]{1,8}") {
            let body = serde_json::json!({ "query": query, "operationName": name }).to_string();
            let RequestBody::Single(request) = from_body(body.as_bytes(), 1).unwrap() else { panic!("one request") };
            prop_assert_eq!((&request.query, request.operation_name.as_deref()), (&query, Some(&*name)));
            let escaped = percent_encoding::utf8_percent_encode(&query, percent_encoding::NON_ALPHANUMERIC);
            let request = from_query_string(&format!("operationName={name}&query={escaped}")).unwrap();
            prop_assert_eq!((&request.query, request.operation_name.as_deref()), (&query, Some(&*name)));
        }
    }
}
