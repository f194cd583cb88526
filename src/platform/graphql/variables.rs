//! Values of variables, checked before anything is executed (the specification's `CoerceVariableValues`).
//!
//! async-graphql checks variables only as part of validating a document, and documents are validated once,
//! without them. So the check is here, for each request. A value that passes is handed on as it came: resolvers
//! turn it into their types. Custom scalars (`UUID`, `Datetime`, ...) are only told from null here; their own
//! parse decides, while the field is executed.
//!
//! Two more rules of the specification that async-graphql does not keep are kept here:
//! - a default value takes part in `@skip` and `@include`, because it is put among the values;
//! - an argument or input field whose variable was not given (and has no default) counts as absent, not as
//!   null: [`omit_absent`]. In a patch null clears and absent keeps, so this decides about data.

use std::collections::HashSet;

use async_graphql::{
    Name, Number, Positioned, Value, Variables,
    indexmap::IndexMap,
    parser::types::{
        BaseType, DocumentOperations, ExecutableDocument, Selection, SelectionSet, Type, VariableDefinition,
    },
};
use async_graphql_value::Value as InputValue;

use super::types::{Input, Types};

/// The values for one operation, and which of its variables were left out.
#[derive(Debug)]
pub(super) struct Coerced {
    /// Given values and defaults of the declared variables; others are dropped.
    pub(super) values: Variables,
    /// Nullable variables with neither value nor default.
    pub(super) absent: HashSet<Name>,
}

/// Checks `given` against what the operation declares.
///
/// # Errors
/// One text for each variable that is wrong, with the declaration's place.
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
            (Some(value), _) => match check(&value, &var_type.node, types) {
                Ok(()) => _ = coerced.values.insert(name.clone(), value),
                Err(mismatch) => problem(mismatch.describe(name)),
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
            // An item cannot be left out: there an absent variable is null.
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

/// Where a value is wrong, and how.
#[derive(Debug)]
pub(super) struct Mismatch {
    /// `chat.tags[2]`, innermost step first.
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

    /// `input.chat.tags[2]: expected Int`.
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

/// A JSON value or a literal of a document, seen alike.
pub(super) trait Node: Sized {
    /// What it is.
    fn view(&self) -> View<'_, Self>;
}

/// What a [`Node`] is.
pub(super) enum View<'a, N> {
    Null,
    Number(&'a Number),
    /// A string, or the name of an enum value; JSON cannot tell them apart.
    Text(&'a str),
    Boolean,
    List(&'a [N]),
    Object(&'a IndexMap<Name, N>),
    /// Something that is checked elsewhere: a variable, bytes.
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

/// Checks that `value` can be of type `ty`.
///
/// # Errors
/// The first place where it cannot.
pub(super) fn check<N: Node>(value: &N, ty: &Type, types: &Types) -> Result<(), Mismatch> {
    match (value.view(), &ty.base) {
        (View::Other, _) => Ok(()),
        (View::Null, _) if ty.nullable => Ok(()),
        (View::Null, _) => Err(Mismatch::new(format!("must not be null, expected {ty}"))),
        (View::List(items), BaseType::List(of)) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| check(item, of, types).map_err(|mismatch| mismatch.below(Step::Item(index)))),
        // One value stands for a list of one.
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

    /// The problems of `variables` for an operation that declares `definitions`.
    fn problems(definitions: &str, variables: serde_json::Value) -> Vec<String> {
        let document = async_graphql::parser::parse_query(format!("query({definitions}) {{ a }}")).expect("GraphQL");
        let operation = document.operations.iter().next().expect("one operation").1.node.clone();
        match coerce(&operation.variable_definitions, Variables::from_json(variables), &fixture::types()) {
            Ok(_) => vec![],
            Err(problems) => problems.into_iter().map(|problem| problem.node).collect(),
        }
    }

    #[test]
    fn accepts_what_fits() {
        let declared = "$i: Int!, $f: Float, $s: String, $b: Boolean, $id: ID!, $l: [Int!], $c: Color, $p: PatchInput!, $u: Stamp, $d: Int! = 3";
        let given = serde_json::json!({
            "i": -3, "f": 2, "s": "x", "b": true, "id": 7, "l": 4, "c": "RED", "u": {"any": 1}, "unknown": 1,
            "p": {"id": "1", "name": null, "tags": ["a"], "inner": {"id": 2}},
        });
        assert_eq!(problems(declared, given), [] as [&str; 0]);
    }

    #[test]
    fn names_the_place_of_what_does_not_fit() {
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
    fn an_absent_variable_takes_its_place_away() {
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
