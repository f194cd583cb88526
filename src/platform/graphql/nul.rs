//! Refuses the character U+0000 in values. It is valid in JSON and in GraphQL, but Postgres cannot store it in a text, so
//! every statement with it would fail as a fault of this server. The other part of a request, its headers, cannot contain
//! it: HTTP forbids it there.

use async_graphql::{
    Pos,
    parser::types::{ExecutableDocument, Selection, SelectionSet},
};

use super::{
    error_response::{self, Refusal},
    variables::{Node, View},
};
use crate::platform::error::Code;

/// What is said of a value that contains it.
pub(super) const PROBLEM: &str = "must not contain the character U+0000";

/// True if a text in `value` contains it.
pub(super) fn is_in<N: Node>(value: &N) -> bool {
    match value.view() {
        View::Text(text) => text.contains('\0'),
        View::List(items) => items.iter().any(is_in),
        View::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || is_in(value)),
        View::Null | View::Number(_) | View::Boolean | View::Other => false,
    }
}

/// Checks the literals of a document: arguments and the default values of variables.
pub(super) fn check(document: &ExecutableDocument) -> Result<(), Refusal> {
    for (_, operation) in document.operations.iter() {
        for variable in &operation.node.variable_definitions {
            if variable.node.default_value.as_ref().is_some_and(|default| is_in(&default.node)) {
                return refuse(&variable.node.name.node, variable.pos);
            }
        }
        in_set(&operation.node.selection_set.node)?;
    }
    document.fragments.values().try_for_each(|fragment| in_set(&fragment.node.selection_set.node))
}

fn in_set(set: &SelectionSet) -> Result<(), Refusal> {
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => {
                for (name, value) in &field.node.arguments {
                    if is_in(&value.node) {
                        return refuse(&name.node, value.pos);
                    }
                }
                in_set(&field.node.selection_set.node)?;
            }
            Selection::InlineFragment(inline) => in_set(&inline.node.selection_set.node)?,
            Selection::FragmentSpread(_) => {}
        }
    }
    Ok(())
}

fn refuse(name: &str, position: Pos) -> Result<(), Refusal> {
    Err(error_response::refuse(Code::BadUserInput, format!("{name}: {PROBLEM}"), vec![position]))
}
