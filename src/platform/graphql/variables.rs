//! Checks the values of variables before execution (the specification's `CoerceVariableValues`).
//!
//! async-graphql checks variables only while it validates a document, and documents are validated once, without values.
//! So this module checks the values of each request. It does not convert them; resolvers do. For custom scalars
//! (`UUID`, `Datetime`, ...) it only rejects null where null is not allowed: the scalar's own parser runs during
//! execution.
//!
//! Two more rules of the specification that async-graphql breaks hold here:
//! - Default values take part in `@skip` and `@include`, because they are added to the values.
//! - An argument or input field whose variable has neither a value nor a default is absent, not null: [`omit_absent`].
//!   This matters to data: in a patch, null clears a field and absence keeps it.

use std::collections::HashSet;

use async_graphql::{
    Name, Number, Positioned, Value, Variables,
    indexmap::IndexMap,
    parser::types::{
        BaseType, DocumentOperations, ExecutableDocument, Selection, SelectionSet, Type, VariableDefinition,
    },
};
use async_graphql_value::Value as InputValue;

use super::{
    nul,
    types::{Input, Types},
};

/// The checked values of one operation's variables.
#[derive(Debug)]
pub(super) struct Coerced {
    /// Values and defaults of the declared variables; values of undeclared ones are dropped.
    pub(super) values: Variables,
    /// Nullable variables with neither value nor default.
    pub(super) absent: HashSet<Name>,
}

/// Checks `given` against the operation's declarations.
///
/// # Errors
/// One message for each wrong variable, with the position of its declaration.
pub(super) fn coerce(
    definitions: &[Positioned<VariableDefinition>],
    mut given: Variables,
    types: &Types,
) -> Result<Coerced, Vec<Positioned<String>>> {
    let mut coerced = Coerced { values: Variables::default(), absent: HashSet::new() };
    let mut problems = Vec::new();
    for definition in definitions {
        let VariableDefinition { name, var_type, default_value, .. } = &definition.node;
        let mut problem =
            |problem: String| problems.push(Positioned::new(format!("Variable ${problem}"), definition.pos));
        let name = &name.node;
        match (given.remove(name), default_value) {
            (Some(value), _) => match (check(&value, &var_type.node, types), nul::place_in(&value)) {
                (Err(mismatch), _) => problem(mismatch.describe(name)),
                (_, Some(place)) => problem(format!("{name}{place}: {}", nul::PROBLEM)),
                (Ok(()), None) => _ = coerced.values.insert(name.clone(), value),
            },
            (None, Some(default)) => _ = coerced.values.insert(name.clone(), default.node.clone()),
            (None, None) if var_type.node.nullable => _ = coerced.absent.insert(name.clone()),
            (None, None) => problem(format!("{name}: a value of type {} is required", var_type.node)),
        }
    }
    if problems.is_empty() { Ok(coerced) } else { Err(problems) }
}

/// Removes arguments and input fields whose value is a variable in `absent`.
pub(super) fn omit_absent(document: &mut ExecutableDocument, absent: &HashSet<Name>) {
    fn in_value(value: &mut InputValue, absent: &HashSet<Name>) {
        match value {
            InputValue::Object(fields) => {
                fields.retain(|_, value| !is_absent(value, absent));
                fields.values_mut().for_each(|value| in_value(value, absent));
            }
            // A list item cannot be omitted: the specification makes an absent variable null there.
            InputValue::List(items) => items.iter_mut().for_each(|value| in_value(value, absent)),
            _ => {}
        }
    }
    fn in_set(set: &mut SelectionSet, absent: &HashSet<Name>) {
        for selection in &mut set.items {
            match &mut selection.node {
                Selection::Field(field) => {
                    field.node.arguments.retain(|(_, value)| !is_absent(&value.node, absent));
                    field.node.arguments.iter_mut().for_each(|(_, value)| in_value(&mut value.node, absent));
                    in_set(&mut field.node.selection_set.node, absent);
                }
                Selection::InlineFragment(inline) => in_set(&mut inline.node.selection_set.node, absent),
                Selection::FragmentSpread(_) => {}
            }
        }
    }
    fn is_absent(value: &InputValue, absent: &HashSet<Name>) -> bool {
        matches!(value, InputValue::Variable(name) if absent.contains(name))
    }

    if absent.is_empty() {
        return;
    }
    match &mut document.operations {
        DocumentOperations::Single(operation) => {
            in_set(&mut operation.node.selection_set.node, absent);
        }
        DocumentOperations::Multiple(operations) => {
            for operation in operations.values_mut() {
                in_set(&mut operation.node.selection_set.node, absent);
            }
        }
    }
    document.fragments.values_mut().for_each(|fragment| in_set(&mut fragment.node.selection_set.node, absent));
}

/// The first position in a value that does not fit its type, and the reason.
#[derive(Debug)]
pub(super) struct Mismatch {
    /// The path to the position, innermost step first.
    path: Vec<Step>,
    problem: String,
}

#[derive(Debug)]
enum Step {
    Field(String),
    Item(usize),
}

impl Mismatch {
    fn new(problem: impl Into<String>) -> Self {
        Self { path: Vec::new(), problem: problem.into() }
    }

    fn below(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }

    /// The message: `input.chat.tags[2]: expected Int`, where `name` is `input`.
    pub(super) fn describe(&self, name: &str) -> String {
        let mut text = name.to_owned();
        for step in self.path.iter().rev() {
            match step {
                Step::Field(name) => text.extend([".", name]),
                Step::Item(index) => text.extend(["[", &index.to_string(), "]"]),
            }
        }
        text + ": " + &self.problem
    }
}

/// A JSON value or a literal of a document, so that one check serves both.
pub(super) trait Node: Sized {
    fn view(&self) -> View<'_, Self>;
}

/// The kind of a [`Node`].
pub(super) enum View<'a, N> {
    Null,
    Number(&'a Number),
    /// A string or the name of an enum value; both are strings in JSON.
    Text(&'a str),
    Boolean,
    List(&'a [N]),
    Object(&'a IndexMap<Name, N>),
    /// A variable or bytes, which are checked elsewhere.
    Other,
}

impl Node for Value {
    fn view(&self) -> View<'_, Self> {
        match self {
            Self::Null => View::Null,
            Self::Number(number) => View::Number(number),
            Self::String(text) => View::Text(text),
            Self::Enum(name) => View::Text(name),
            Self::Boolean(_) => View::Boolean,
            Self::List(items) => View::List(items),
            Self::Object(fields) => View::Object(fields),
            Self::Binary(_) => View::Other,
        }
    }
}

impl Node for InputValue {
    fn view(&self) -> View<'_, Self> {
        match self {
            Self::Null => View::Null,
            Self::Number(number) => View::Number(number),
            Self::String(text) => View::Text(text),
            Self::Enum(name) => View::Text(name),
            Self::Boolean(_) => View::Boolean,
            Self::List(items) => View::List(items),
            Self::Object(fields) => View::Object(fields),
            Self::Variable(_) | Self::Binary(_) => View::Other,
        }
    }
}

/// Checks that `value` fits the type `ty`.
///
/// # Errors
/// The first position that does not fit.
pub(super) fn check<N: Node>(value: &N, ty: &Type, types: &Types) -> Result<(), Mismatch> {
    match (value.view(), &ty.base) {
        (View::Other, _) => Ok(()),
        (View::Null, _) if ty.nullable => Ok(()),
        (View::Null, _) => Err(Mismatch::new(format!("must not be null, expected {ty}"))),
        (View::List(items), BaseType::List(of)) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| check(item, of, types).map_err(|mismatch| mismatch.below(Step::Item(index)))),
        // The specification coerces a single value to a list of one.
        (_, BaseType::List(of)) => check(value, of, types),
        (view, BaseType::Named(name)) => check_named(&view, name, types),
    }
}

fn check_named<N: Node>(view: &View<'_, N>, name: &str, types: &Types) -> Result<(), Mismatch> {
    let fits = match (name, view) {
        ("Int", View::Number(number)) => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        ("Float", View::Number(_)) | ("String" | "ID", View::Text(_)) | ("Boolean", View::Boolean) => true,
        ("ID", View::Number(number)) => number.is_i64() || number.is_u64(),
        ("Int" | "Float" | "String" | "Boolean" | "ID", _) => false,
        _ => {
            if let Some(input) = types.input(name) {
                return match view {
                    View::Object(fields) => check_input(fields, input, types),
                    _ => Err(Mismatch::new(format!("expected {name}, an object"))),
                };
            }
            match (types.enum_values(name), view) {
                (Some(values), View::Text(text)) => values.contains(*text),
                (Some(_), _) => false,
                (None, _) => true,
            }
        }
    };
    if fits { Ok(()) } else { Err(Mismatch::new(format!("expected {name}"))) }
}

fn check_input<N: Node>(given: &IndexMap<Name, N>, input: &Input, types: &Types) -> Result<(), Mismatch> {
    for (name, value) in given {
        let below = |mismatch: Mismatch| mismatch.below(Step::Field(name.to_string()));
        let field = input.field(name).ok_or_else(|| below(Mismatch::new("no such field")))?;
        check(value, &field.ty, types).map_err(below)?;
    }
    if let Some(name) = input.required.iter().find(|name| !given.contains_key(name.as_str())) {
        return Err(Mismatch::new("a value is required").below(Step::Field(name.clone())));
    }
    if input.one_of && (given.len() != 1 || given.values().any(|value| matches!(value.view(), View::Null))) {
        return Err(Mismatch::new("exactly one field must be given, and not null"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::graphql::fixture;

    /// The messages about `variables` for an operation that declares `definitions`.
    fn problems(definitions: &str, variables: serde_json::Value) -> Vec<String> {
        let document = async_graphql::parser::parse_query(format!("query({definitions}) {{ a }}")).expect("GraphQL");
        let operation = document.operations.iter().next().expect("one operation").1.node.clone();
        match coerce(&operation.variable_definitions, Variables::from_json(variables), &fixture::types()) {
            Ok(_) => vec![],
            Err(problems) => problems.into_iter().map(|problem| problem.node).collect(),
        }
    }

    #[test]
    fn values_that_fit_their_types_are_accepted() {
        let declared = "$i: Int!, $f: Float, $s: String, $b: Boolean, $id: ID!, $l: [Int!], $c: Color, $p: PatchInput!, $u: Stamp, $d: Int! = 3";
        let given = serde_json::json!({
            "i": -3, "f": 2, "s": "x", "b": true, "id": 7, "l": 4, "c": "RED", "u": {"any": 1}, "unknown": 1,
            "p": {"id": "1", "name": null, "tags": ["a"], "inner": {"id": 2}},
        });
        assert_eq!(problems(declared, given), [] as [&str; 0]);
    }

    #[test]
    fn a_mismatch_is_reported_with_its_path() {
        use serde_json::json;
        for (declared, given, problem) in [
            ("$x: Int!", json!({}), "Variable $x: a value of type Int! is required"),
            ("$x: Int!", json!({"x": null}), "Variable $x: must not be null, expected Int!"),
            ("$x: Int! = 3", json!({"x": null}), "Variable $x: must not be null, expected Int!"),
            ("$x: Int", json!({"x": 1.5}), "Variable $x: expected Int"),
            ("$x: Int", json!({"x": 2_147_483_648_u64}), "Variable $x: expected Int"),
            ("$x: Int", json!({"x": "1"}), "Variable $x: expected Int"),
            ("$x: Float", json!({"x": "1"}), "Variable $x: expected Float"),
            ("$x: String", json!({"x": 1}), "Variable $x: expected String"),
            ("$x: Boolean", json!({"x": 1}), "Variable $x: expected Boolean"),
            ("$x: ID", json!({"x": 1.5}), "Variable $x: expected ID"),
            ("$x: [Int!]", json!({"x": [1, null]}), "Variable $x[1]: must not be null, expected Int!"),
            ("$x: [[Int]]", json!({"x": [[1], ["a"]]}), "Variable $x[1][0]: expected Int"),
            ("$x: Color", json!({"x": "red"}), "Variable $x: expected Color"),
            ("$x: PatchInput", json!({"x": "text"}), "Variable $x: expected PatchInput, an object"),
            ("$x: PatchInput", json!({"x": {}}), "Variable $x.id: a value is required"),
            ("$x: PatchInput", json!({"x": {"id": 1, "nam": 1}}), "Variable $x.nam: no such field"),
            (
                "$x: PatchInput",
                json!({"x": {"id": 1, "inner": {"id": 1, "tags": ["a", 2]}}}),
                "Variable $x.inner.tags[1]: expected String",
            ),
            (
                "$x: OneInput",
                json!({"x": {"id": 1, "name": "a"}}),
                "Variable $x: exactly one field must be given, and not null",
            ),
        ] {
            assert_eq!(problems(declared, given), [problem]);
        }
    }

    #[test]
    fn arguments_and_fields_of_absent_variables_are_removed() {
        let text =
            "query($a: Int, $b: Int) { f(a: $a, b: $b, o: {a: $a, l: [$a]}) ...F } fragment F on Query { g(a: $a) }";
        let mut document = async_graphql::parser::parse_query(text).expect("GraphQL");
        omit_absent(&mut document, &HashSet::from([Name::new("a")]));
        let operation = document.operations.iter().next().expect("one operation").1;
        let Selection::Field(field) = &operation.node.selection_set.node.items[0].node else { panic!("a field") };
        let arguments: Vec<String> =
            field.node.arguments.iter().map(|(name, value)| format!("{}: {}", name.node, value.node)).collect();
        assert_eq!(arguments, ["b: $b", "o: {l: [$a]}"]);
        let Selection::Field(field) = &document.fragments["F"].node.selection_set.node.items[0].node else {
            panic!("a field")
        };
        assert!(field.node.arguments.is_empty());
    }
}
