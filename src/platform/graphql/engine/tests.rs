//! The engine's public functions over the schema of `fixture`.

use std::sync::Arc;

use async_graphql::Variables;
use futures_util::StreamExt;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Engine, GraphqlRequest};
use crate::platform::{
    auth::{Caller, Credential, Principal, Role},
    config::{GuardSettings, Introspection},
    error::Code,
    graphql::fixture,
};

fn engine() -> Engine {
    Engine::new(fixture::builder, &fixture::settings(), |request| request)
}

fn known() -> Caller {
    known_as(Role::Service)
}

fn known_as(role: Role) -> Caller {
    Caller::Known(Arc::new(Principal {
        company_id: Uuid::nil(),
        role,
        subject: "me".into(),
        earlier: None,
        website_id: None,
        agent_id: None,
        session_id: None,
        expires_at: None,
        credential: Credential::Token,
    }))
}

fn request(query: &str, variables: Value) -> GraphqlRequest {
    GraphqlRequest { query: query.into(), operation_name: None, variables: Variables::from_json(variables) }
}

/// The response to `query`, whether it is refused or executed.
async fn run_as(engine: &Engine, caller: &Caller, query: &str, variables: Value) -> Value {
    let response = match engine.prepare(request(query, variables)) {
        Ok(prepared) => engine.execute(prepared, caller).await,
        Err(refusal) => refusal.response,
    };
    serde_json::to_value(response).expect("JSON")
}

async fn run(engine: &Engine, query: &str, variables: Value) -> Value {
    run_as(engine, &known(), query, variables).await
}

/// The code and message of the only error of a response.
fn error(response: &Value) -> (&str, &str) {
    assert_eq!(response["errors"].as_array().map(Vec::len), Some(1), "{response}");
    let error = &response["errors"][0];
    (error["extensions"]["code"].as_str().expect("a code"), error["message"].as_str().expect("a message"))
}

#[tokio::test]
async fn a_cached_document_executes_like_a_new_one() {
    for document_cache in [0, 4_194_304] {
        let engine =
            Engine::new(fixture::builder, &GuardSettings { document_cache, ..fixture::settings() }, |request| request);
        for _ in 0..3 {
            let text = "query($c: Color!, $n: Int = 2) { caller color(of: $c) nodes(first: $n) { ...F } } fragment F on Node { a }";
            let response = run(&engine, text, json!({"c": "GREEN"})).await;
            assert_eq!(response, json!({"data": {"caller": "me", "color": "GREEN", "nodes": [{"a": 1}]}}));
            let response = run(&engine, text, json!({"c": "green"})).await;
            assert_eq!(error(&response), ("BAD_USER_INPUT", "Variable $c: expected Color"));
            assert_eq!(response["errors"][0]["locations"], json!([{"line": 1, "column": 7}]));
            let response = run(&engine, text, json!({"c": "GREEN", "n": 30_000})).await;
            assert_eq!(error(&response).0, "QUERY_TOO_COMPLEX");
        }
    }
}

#[tokio::test]
async fn invalid_documents_are_refused_with_locations() {
    let engine = engine();
    for (text, code, place) in [
        ("{ a", "GRAPHQL_PARSE_FAILED", json!([{"line": 1, "column": 4}])),
        ("", "GRAPHQL_PARSE_FAILED", json!([{"line": 1, "column": 1}])),
        ("{\n b }", "GRAPHQL_VALIDATION_FAILED", json!([{"line": 2, "column": 2}])),
        ("{ ...F }", "GRAPHQL_VALIDATION_FAILED", json!([{"line": 1, "column": 3}])),
        ("query($c: Colour) { color(of: $c) }", "GRAPHQL_VALIDATION_FAILED", json!([{"line": 1, "column": 7}])),
        ("{ nodes(first: \"1\") { a } }", "GRAPHQL_VALIDATION_FAILED", json!([{"line": 1, "column": 9}])),
        (
            "query Q { a } query Q { a }",
            "GRAPHQL_VALIDATION_FAILED",
            json!([{"line": 1, "column": 15}, {"line": 1, "column": 1}]),
        ),
        (
            "mutation($n: String) { patch(input: {id: 1, nam: $n}) }",
            "GRAPHQL_VALIDATION_FAILED",
            json!([{"line": 1, "column": 30}]),
        ),
        ("subscription { count(to: 1) explode }", "GRAPHQL_VALIDATION_FAILED", json!([{"line": 1, "column": 1}])),
    ] {
        for _ in 0..2 {
            let response = run(&engine, text, json!({})).await;
            assert_eq!(response["errors"][0]["extensions"]["code"], code, "{text} {response}");
            assert_eq!(response["errors"][0]["locations"], place, "{text} {response}");
            assert_eq!(response["data"], Value::Null);
        }
    }
}

#[tokio::test]
async fn the_operation_is_selected_by_its_name() {
    let engine = engine();
    let prepare = |query: &str, name: Option<&str>| {
        engine.prepare(GraphqlRequest { operation_name: name.map(Into::into), ..request(query, json!({})) })
    };
    let two = "query A { a } mutation B { consumerLogin }";
    assert!(!prepare(two, Some("A")).expect("a query").open);
    assert!(prepare(two, Some("B")).expect("a mutation").open);
    for (query, name) in [(two, None), (two, Some("C")), ("{ a }", Some("A")), ("query A { a }", Some("a"))] {
        assert_eq!(prepare(query, name).expect_err("refused").code, Code::BadUserInput);
    }
    let open = |query: &str| prepare(query, None).expect("valid").open;
    assert!(open("mutation A { ...F __typename } fragment F on Mutation { x: consumerLogin ... { consumerLogin } }"));
    assert!(!open("mutation { ...F consumerLogin } fragment F on Mutation { patch(input: {id: 1}) }"));
    assert!(!open("{ __typename }"));
}

#[tokio::test]
async fn callers_without_a_valid_credential_are_refused_except_for_a_login() {
    let engine = engine();
    let refused = Caller::Refused("it is expired".into());
    let login = "mutation { consumerLogin }";
    assert_eq!(run_as(&engine, &refused, login, json!({})).await, json!({"data": {"consumerLogin": true}}));
    assert_eq!(
        error(&run_as(&engine, &refused, "{ a }", json!({})).await),
        ("UNAUTHENTICATED", "unauthorized: it is expired")
    );
    let unavailable = Caller::Unavailable("the secret cause".into());
    let response = run_as(&engine, &unavailable, "{ a }", json!({})).await;
    assert_eq!(error(&response), ("UNAVAILABLE", "temporarily unavailable, try again"));
    assert_eq!(response["errors"][0]["extensions"]["retryAfterMs"], 1_000);
    assert_eq!(run_as(&engine, &Caller::Anonymous, "{ a }", json!({})).await, json!({"data": {"a": 1}}));
    assert_eq!(error(&run_as(&engine, &Caller::Anonymous, "{ caller }", json!({})).await).0, "UNAUTHENTICATED");
    let introspect = "{ ...F } fragment F on Query { a __schema { queryType { name } } }";
    assert_eq!(error(&run_as(&engine, &Caller::Anonymous, introspect, json!({})).await).0, "UNAUTHENTICATED");
    let response = run(&engine, introspect, json!({})).await;
    assert_eq!(response["data"]["__schema"]["queryType"]["name"], "Query");
}

#[tokio::test]
async fn errors_carry_codes_and_no_internal_text() {
    let engine = engine();
    for code in Code::ALL {
        let response = run(&engine, "query($c: String!) { x: fail(code: $c) }", json!({"c": code.as_str()})).await;
        assert_eq!(error(&response).0, code.as_str());
        assert_eq!(response["errors"][0]["path"], json!(["x"]));
        assert_eq!(response["data"], json!({"x": null}));
        let may_be_retried = matches!(code, Code::Unavailable | Code::RateLimited);
        assert_eq!(response["errors"][0]["extensions"]["retryAfterMs"].is_number(), may_be_retried);
        assert!(!response.to_string().contains("secret"));
    }
    for (query, code) in [
        ("{ failShared }", "CONFLICT"),
        ("{ failPlainly }", "INTERNAL_SERVER_ERROR"),
        ("{ a panic }", "INTERNAL_SERVER_ERROR"),
    ] {
        let response = run(&engine, query, json!({})).await;
        assert_eq!(error(&response).0, code);
        assert!(!response.to_string().contains("secret"), "{response}");
    }
    let response = run(&engine, "query($id: UUID!) { id(id: $id) }", json!({"id": "no uuid"})).await;
    assert_eq!(error(&response).0, "BAD_USER_INPUT");
    assert_eq!(run(&engine, "{ a @skip(if: true) }", json!({})).await, json!({"data": {}}));
}

#[tokio::test]
async fn a_failed_field_makes_the_nearest_nullable_position_null() {
    let engine = engine();
    for (query, data) in [
        ("{ node { a x: fail } }", json!({"node": {"a": 1, "x": null}})),
        ("{ node { fail y: fail } }", json!({"node": {"fail": null, "y": null}})),
        ("{ node { a ...F } } fragment F on Node { failStrictly }", Value::Null),
        ("{ node { maybe { a failStrictly } } }", json!({"node": {"maybe": null}})),
        ("{ node { maybe { maybe { failStrictly } failStrictly fail } } }", json!({"node": {"maybe": null}})),
        ("{ node { maybes { a ... on Node { failStrictly } } } }", json!({"node": {"maybes": [null, null]}})),
        ("{ node { maybes { fail } } }", json!({"node": {"maybes": [{"fail": null}, null]}})),
        ("{ node { maybe { nodes { nodes { failStrictly } } } } }", json!({"node": {"maybe": null}})),
        ("{ node { a } nodes { failStrictly } }", Value::Null),
    ] {
        let response = run(&engine, query, json!({})).await;
        assert_eq!(response["data"], data, "{query}");
        assert_eq!(response["errors"][0]["extensions"]["code"], "CONFLICT");
    }
}

#[tokio::test]
async fn an_absent_variable_is_not_null() {
    let engine = engine();
    let inside = "mutation($n: String) { patch(input: {id: 1, name: $n}) }";
    let whole = "mutation($p: PatchInput!) { patch(input: $p) }";
    let default = "mutation($n: String = \"x\", $s: Int! = 8) { patch(input: {id: 1, name: $n, size: $s}) }";
    for (query, variables, patched) in [
        (inside, json!({}), "keep 7"),
        (inside, json!({"n": null}), "clear 7"),
        (inside, json!({"n": "y"}), "set y 7"),
        (whole, json!({"p": {"id": 1}}), "keep 7"),
        (whole, json!({"p": {"id": 1, "name": null, "size": 9}}), "clear 9"),
        (default, json!({}), "set x 8"),
        (default, json!({"n": null}), "clear 8"),
    ] {
        assert_eq!(run(&engine, query, variables).await, json!({"data": {"patch": patched}}), "{query}");
    }
    let skip = "query($s: Boolean! = true) { a x: a @skip(if: $s) }";
    assert_eq!(run(&engine, skip, json!({})).await, json!({"data": {"a": 1}}));
    assert_eq!(run(&engine, skip, json!({"s": false})).await, json!({"data": {"a": 1, "x": 1}}));
}

#[tokio::test]
async fn every_kind_of_operation_can_be_streamed() {
    let engine = engine();
    let stream = async |query: &str, caller: &Caller| -> Vec<Value> {
        let prepared = engine.prepare(request(query, json!({}))).expect("valid");
        let responses = engine.stream(prepared, caller).map(|response| serde_json::to_value(response).expect("JSON"));
        responses.collect().await
    };
    assert_eq!(stream("{ a }", &known()).await, [json!({"data": {"a": 1}})]);
    let responses = stream("subscription { ...F } fragment F on Streams { x: count(to: 4) }", &known()).await;
    assert_eq!(responses[..2], [json!({"data": {"x": 1}}), json!({"data": {"x": 2}})]);
    assert_eq!(error(&responses[2]), ("CONFLICT", "three"));
    assert_eq!(
        stream("subscription { count(to: 1) @include(if: true) }", &known()).await,
        [json!({"data": {"count": 1}})]
    );
    assert!(stream("subscription { count(to: 1) @skip(if: true) }", &known()).await.is_empty());
    let responses = stream("subscription { explode }", &known()).await;
    assert_eq!(responses[0], json!({"data": {"explode": 1}}));
    assert_eq!(error(&responses[1]).0, "INTERNAL_SERVER_ERROR");
    assert_eq!(responses.len(), 2);
    let responses = stream("subscription { count(to: 1) }", &Caller::Refused("it is expired".into())).await;
    assert_eq!(error(&responses[0]).0, "UNAUTHENTICATED");
    let prepared = engine.prepare(request("subscription { count(to: 1) }", json!({}))).expect("valid");
    let response = serde_json::to_value(engine.execute(prepared, &known()).await).expect("JSON");
    assert_eq!(error(&response).0, "BAD_USER_INPUT");
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_never_returns_times_out() {
    let response = run(&engine(), "{ a never }", json!({})).await;
    assert_eq!(error(&response).0, "UNAVAILABLE");
}

#[tokio::test]
async fn an_answer_over_the_limit_is_not_built_to_its_end() {
    let engine = engine();
    // A megabyte: 52 texts of 20,000 bytes, however they come about.
    let lengths = |response: &Value| response["data"]["many"].as_array().map(Vec::len);
    let many = "query($n: Int!) { many(count: $n) { long } }";
    assert_eq!(lengths(&run(&engine, many, json!({"n": 50})).await), Some(50));
    for (text, count) in [
        (many, 60),
        ("query($n: Int!) { many(count: $n) { a: long b: long c: long } }", 20),
        (
            "query($n: Int!) { many(count: $n) { node { long } ...F } } fragment F on Node { node { maybe { long } } }",
            30,
        ),
    ] {
        let response = run(&engine, text, json!({"n": count})).await;
        assert_eq!(error(&response).0, "PAYLOAD_TOO_LARGE", "{text}");
        assert_eq!(response["data"], Value::Null);
    }
    // Requests of a batch share a budget; a request of its own has the whole one.
    let budget = engine.budget();
    let mut codes = Vec::new();
    for _ in 0..3 {
        let prepared = engine.prepare(request(many, json!({"n": 25}))).expect("valid").within(&budget);
        let response = serde_json::to_value(engine.execute(prepared, &known()).await).expect("JSON");
        codes.push(response["errors"][0]["extensions"]["code"].clone());
    }
    assert_eq!(codes, [Value::Null, Value::Null, json!("PAYLOAD_TOO_LARGE")]);
    assert_eq!(lengths(&run(&engine, many, json!({"n": 25})).await), Some(25));
}

#[tokio::test]
async fn introspection_is_for_those_that_the_setting_names() {
    let schema = "{ __schema { queryType { name } } }";
    let (company, visitor) = (known(), known_as(Role::Consumer));
    for (introspection, code_of_company, code_of_visitor) in [
        (Introspection::Off, Some("FORBIDDEN"), Some("FORBIDDEN")),
        (Introspection::Company, None, Some("FORBIDDEN")),
        (Introspection::Credential, None, None),
    ] {
        let settings = GuardSettings { introspection, ..fixture::settings() };
        let engine = Engine::new(fixture::builder, &settings, |request| request);
        for (caller, expected) in
            [(&company, code_of_company), (&visitor, code_of_visitor), (&Caller::Anonymous, Some("UNAUTHENTICATED"))]
        {
            let response = run_as(&engine, caller, schema, json!({})).await;
            assert_eq!(response["errors"][0]["extensions"]["code"].as_str(), expected, "{introspection:?}");
        }
        assert_eq!(run_as(&engine, &visitor, "{ a __typename }", json!({})).await["data"]["a"], 1);
    }
}
