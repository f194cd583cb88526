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

/// Where in `value` a text contains it, as the end of a path: `.website.name`, `[2]`, or nothing for the value itself.
pub(super) fn place_in<N: Node>(value: &N) -> Option<String> {
    match value.view() {
        View::Text(text) => text.contains('\0').then(String::new),
        View::List(items) => {
            items.iter().enumerate().find_map(|(index, item)| Some(format!("[{index}]{}", place_in(item)?)))
        }
        View::Object(fields) => fields.iter().find_map(|(name, value)| Some(format!(".{name}{}", place_in(value)?))),
        View::Null | View::Number(_) | View::Boolean | View::Other => None,
    }
}

/// Checks the literals of a document: arguments and the default values of variables.
pub(super) fn check(document: &ExecutableDocument) -> Result<(), Refusal> {
    for (_, operation) in document.operations.iter() {
        for variable in &operation.node.variable_definitions {
            if let Some(place) = variable.node.default_value.as_ref().and_then(|default| place_in(&default.node)) {
                return refuse(&variable.node.name.node, &place, variable.pos);
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
                    if let Some(place) = place_in(&value.node) {
                        return refuse(&name.node, &place, value.pos);
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

fn refuse(name: &str, place: &str, position: Pos) -> Result<(), Refusal> {
    Err(error_response::refuse(Code::BadUserInput, format!("{name}{place}: {PROBLEM}"), vec![position]))
}
