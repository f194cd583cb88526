//! The memoised measure compared with a brute-force expansion, and documents that attack the server.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use async_graphql::parser::{
    parse_query,
    types::{ExecutableDocument, Selection, SelectionSet},
};
use async_graphql_value::Value as InputValue;
use proptest::prelude::*;

use super::*;
use crate::platform::graphql::{document::Document, engine::Engine, engine::GraphqlRequest, fixture};

/// The text of a selection set over fields and the first `fragments` fragments.
fn selections(fragments: usize) -> impl Strategy<Value = String> {
    let spread = (0..fragments.max(1))
        .prop_map(move |index| if fragments == 0 { "a".to_owned() } else { format!("...F{index}") });
    let leaf = prop_oneof![
        Just("a".to_owned()),
        Just("x: a @skip(if: true)".to_owned()),
        Just("__typename".to_owned()),
        spread
    ];
    let set = |items: Vec<String>| format!("{{ {} }}", items.join(" "));
    leaf.prop_recursive(3, 12, 3, move |inner| {
        let inner = prop::collection::vec(inner, 1..4).prop_map(set);
        prop_oneof![
            inner.clone().prop_map(|below| format!("node {below}")),
            inner.clone().prop_map(|below| format!("nodes {below}")),
            (inner.clone(), 0..9_u8).prop_map(|(below, first)| format!("y: nodes(first: {first}) {below}")),
            (inner.clone(), 0..9_u8).prop_map(|(below, last)| format!("nodes(last: {last}, first: $n) {below}")),
            inner.clone().prop_map(|below| format!("... on Node {below}")),
            inner.prop_map(|below| format!("... @include(if: true) {below}")),
        ]
    })
    .prop_map(move |item| set(vec![item]))
}

/// A document whose fragments spread only earlier fragments.
fn documents() -> impl Strategy<Value = String> {
    (selections(0), selections(1), selections(2), selections(3)).prop_map(|(f0, f1, f2, operation)| {
        format!("query($n: Int) {{ node {operation} }} fragment F0 on Node {f0} fragment F1 on Node {f1} fragment F2 on Node {f2}")
    })
}

/// Counts by visiting every expansion; `$n` is 3.
fn expand(
    set: &SelectionSet,
    document: &ExecutableDocument,
    total: &mut Measure,
    depth: u64,
    nesting: u64,
    factor: u64,
) {
    for selection in &set.items {
        total.size += 1;
        total.nesting = total.nesting.max(nesting + 1);
        for directive in selection.node.directives() {
            total.directives += 1;
            total.size += 1 + directive.node.arguments.len() as u64;
        }
        match &selection.node {
            Selection::Field(field) => {
                let field = &field.node;
                total.cost += factor;
                total.depth = total.depth.max(depth + 1);
                total.aliases += u64::from(field.alias.is_some());
                total.size += field.arguments.len() as u64;
                let mut page = 0;
                for (_, value) in &field.arguments {
                    let size = if let InputValue::Number(size) = &value.node { size.as_u64() } else { None };
                    total.paged_by_variable |= size.is_none();
                    page = page.max(size.unwrap_or(3));
                }
                if field.arguments.is_empty() {
                    page = if field.name.node == "nodes" { 20 } else { 1 };
                }
                // A page size of 0 counts as 1.
                expand(&field.selection_set.node, document, total, depth + 1, nesting + 1, factor * page.max(1));
            }
            Selection::InlineFragment(inline) => {
                expand(&inline.node.selection_set.node, document, total, depth, nesting + 1, factor);
            }
            Selection::FragmentSpread(spread) => {
                let fragment = &document.fragments[&spread.node.fragment_name.node].node;
                expand(&fragment.selection_set.node, document, total, depth, nesting + 1, factor);
            }
        }
    }
}

proptest! {
    #[test]
    fn the_memoised_measure_equals_that_of_the_expansion(text in documents()) {
        let document = parse_query(&text).expect("GraphQL");
        let operation = document.operations.iter().next().expect("one operation").1;
        let types = fixture::types();
        let measured = Measurer::new(&document.fragments, &types, |_| 3).expect("no cycle").operation(&operation.node);
        // The declaration of $n is a part, the operation's one root field is `node`.
        let mut expanded = Measure { size: 1, root_fields: 1, ..Measure::default() };
        expand(&operation.node.selection_set.node, &document, &mut expanded, 0, 0, 1);
        prop_assert_eq!(measured, expanded, "{}", text);
    }
}

/// The code of the refusal of `text`, if it is refused. Fails if preparing takes long.
fn refusal(engine: &Engine, text: &str) -> Option<&'static str> {
    let started = Instant::now();
    let prepared = engine.prepare(GraphqlRequest { query: text.to_owned(), ..GraphqlRequest::default() });
    let elapsed = started.elapsed();
    eprintln!(
        "{elapsed:>12.1?} {:?} {}",
        prepared.as_ref().err().map(|refusal| refusal.code),
        &text[..text.floor_char_boundary(70)]
    );
    // Generous, for unoptimised code on a busy machine: an attack that succeeds would take hours.
    assert!(elapsed < Duration::from_secs(3), "{elapsed:?} for {}", &text[..text.floor_char_boundary(100)]);
    prepared.err().map(|refusal| refusal.code.as_str())
}

/// Repeats `part` `count` times, with `#` replaced by the index.
fn repeat(count: usize, part: &str) -> String {
    (0..count).fold(String::new(), |mut text, index| {
        write!(text, "{} ", part.replace('#', &index.to_string())).expect("a string");
        text
    })
}

/// Fragments that each spread the next.
fn chain(length: usize) -> String {
    (0..length).fold(String::new(), |mut text, index| {
        write!(text, "fragment f{index} on Node{{...f{}}}", index + 1).expect("a string");
        text
    })
}

/// Fragments that each spread the next one twice.
fn nest(levels: usize) -> String {
    (0..levels).fold(String::new(), |mut text, level| {
        let next = level + 1;
        write!(text, "fragment f{level} on Node{{...f{next} ...f{next}}}").expect("a string");
        text
    }) + &format!("fragment f{levels} on Node{{a}}")
}

#[test]
fn documents_that_attack_the_server_are_refused_in_short_time() {
    let engine = Engine::new(fixture::builder, &fixture::settings(), |request| request);
    let complex = Some("QUERY_TOO_COMPLEX");
    let parse = Some("GRAPHQL_PARSE_FAILED");
    let invalid = Some("GRAPHQL_VALIDATION_FAILED");
    let long = "n".repeat(300);
    for (text, code) in [
        (format!("{{node{{...f0}}}}{}", nest(30)), complex),
        (format!("{{a}}{}", nest(60)), complex), // unused
        (format!("{{{}}}", repeat(1_900, "__typename")), complex),
        (format!("{{node{{{}}}}}", repeat(3_900, "a")), None),
        (format!("{{node{{{}}}}}", repeat(1_000, "x: a")), complex),
        (format!("{{a {}}}", repeat(1_000, "@skip(if: false)")), complex),
        (format!("{{a {}}}", repeat(1_900, "@x")), complex),
        (repeat(600, "query q#{a}"), Some("BAD_USER_INPUT")),
        (format!("{} fragment F on Query{{{}}}", repeat(200, "query q#{...F}"), repeat(1_000, "a")), complex),
        (format!("{{a}} {}", repeat(400, "fragment f# on Node{a ...f#}")), invalid),
        (chain(480) + "{a}fragment f480 on Node{a}", complex),
        (format!("{{node{{values(of: {}1{})}}}}", "[".repeat(1_900), "]".repeat(1_900)), complex),
        (format!("{{{}a{}}}", "...{".repeat(900), "}".repeat(900)), complex),
        (format!("{{{}a{}}}", "node{".repeat(17), "}".repeat(17)), complex),
        (format!("{{node{{values(of: [{}])}}}}", "1 ".repeat(20_000)), complex),
        (format!("{{node{{values(of: [{}])}}}}", "-1".repeat(30_000)), complex),
        (format!("{{a(x: \"{}\")}}", "x".repeat(65_000)), invalid),
        (format!("{{a(x: {}", "\"x\\\"\"\"\"\" ".repeat(5_000)), parse),
        (format!("{{a(x: \"\"\"{}", "\\\"\"\"".repeat(16_000)), parse),
        (format!("{{{long}}}"), complex),
        (format!("{{node{{{}}}}}", repeat(1_300, "x#")), invalid),
        (format!("{{a({})}}", repeat(1_300, "x#: 1")), invalid),
        (format!("{{a({}) a({})}}", repeat(660, "x#: 1"), repeat(660, "x#: 2")), invalid),
        (format!("query({}){{a}}", repeat(990, "$x#: Int")), invalid),
        (
            format!(
                "{} fragment F on Node{{values(of:[[{}]])}}",
                repeat(100, "query q#($x:Int){node{...F}}"),
                "$x ".repeat(1_000)
            ),
            complex,
        ),
        ("{nodes(first: 100){nodes(first: 100){nodes(first: 100){a}}}}".to_owned(), complex),
        (format!("{{{}}}", repeat(21, "a")), complex),
        (format!("{{a{}}}", " ,\n#x\n".repeat(10_000)), complex),
        ("{a}".repeat(1_000), invalid),
        ("{".repeat(60), parse),
        ("{a(b:".repeat(30), parse),
    ] {
        assert_eq!(refusal(&engine, &text), code, "{}", &text[..text.floor_char_boundary(100)]);
    }
    assert_eq!(refusal(&engine, &"x".repeat(65_537)), Some("PAYLOAD_TOO_LARGE"));
}

#[test]
fn the_deepest_nesting_that_settings_allow_does_not_overflow_the_stack() {
    let settings = GuardSettings { document_depth: 100, document_tokens: 100_000, ..fixture::settings() };
    let engine = Engine::new(fixture::builder, &settings, |request| request);
    let list = format!("{{node{{values(of: {}1{})}}}}", "[".repeat(195), "]".repeat(195));
    assert_eq!(refusal(&engine, &list), Some("GRAPHQL_VALIDATION_FAILED"));
    assert_eq!(refusal(&engine, &format!("{{node{{...f0}}}}{}fragment f190 on Node{{a}}", chain(190))), None);
}

#[test]
fn the_standard_introspection_query_passes() {
    let type_ref = "fragment T on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } } }";
    let text = format!(
        "query I {{ __schema {{ queryType {{ name kind }} types {{ ...F }} directives {{ name description locations args {{ ...V }} }} }} }} fragment F on __Type {{ kind name description fields(includeDeprecated: true) {{ name args(includeDeprecated: true) {{ ...V }} type {{ ...T }} isDeprecated deprecationReason }} inputFields {{ ...V }} interfaces {{ ...T }} enumValues {{ name }} possibleTypes {{ ...T }} }} fragment V on __InputValue {{ name description type {{ ...T }} defaultValue }} {type_ref}"
    );
    assert_eq!(refusal(&Engine::new(fixture::builder, &fixture::settings(), |request| request), &text), None);
}

#[test]
fn a_list_without_pages_counts_with_its_own_size_and_a_field_with_its_own_cost() {
    let engine = Engine::new(fixture::builder, &fixture::settings(), |request| request);
    for (text, cost) in [
        ("{ a node { a } }", 3),
        ("{ node { three { a node { a } } } }", 1 + 7 + 3 * 3),
        ("{ node { maybes { a } } }", 1 + 1 + 1_000),
        ("{ node { numbers } }", 1 + 1 + 1_000),
        ("{ node { nodes { a } } }", 1 + 1 + 20),
        ("{ node { nodes(first: 2) { three { a } } } }", 1 + 1 + 2 * (7 + 3)),
        // The lists of introspection count once.
        ("{ __schema { types { name fields { name args { name } } } } }", 7),
    ] {
        let prepared = engine.prepare(GraphqlRequest { query: text.to_owned(), ..GraphqlRequest::default() });
        assert_eq!(prepared.expect("below the limit").cost, cost, "{text}");
    }
}

#[test]
fn introspection_does_not_nest_without_end() {
    let engine = Engine::new(fixture::builder, &fixture::settings(), |request| request);
    let nested = |levels: usize| {
        let inside = (0..levels).fold("name".to_owned(), |inside, _| format!("fields {{ type {{ {inside} }} }}"));
        format!("{{ __schema {{ types {{ {inside} }} }} }}")
    };
    assert_eq!(refusal(&engine, &nested(2)), None);
    assert_eq!(refusal(&engine, &nested(3)), Some("QUERY_TOO_COMPLEX"));
    let fragment = "{ __type(name: \"Node\") { ...T } } fragment T on __Type { fields { type { ...U } } }
        fragment U on __Type { possibleTypes { inputFields { name } } }";
    assert_eq!(refusal(&engine, fragment), Some("QUERY_TOO_COMPLEX"));
}

#[test]
fn every_operation_of_a_document_is_checked() {
    let guard = Guard::new(&fixture::settings());
    let types = fixture::types();
    let refused = |text: &str| Document::prepare(text, &guard, &types, |_| vec![]).expect_err("refused");
    let refusal = refused("query A {a}\nquery B { nodes(first: 30000) { a } }");
    assert_eq!(refusal.code, Code::QueryTooComplex);
    assert_eq!(refusal.response.errors[0].locations, [Pos { line: 2, column: 1 }]);
    assert_eq!(refusal.response.errors[0].message, "operation B has 30001 units of cost, the limit is 20000");
}
