//! A validation rule for literals that contain variables.
//!
//! Documents are validated without values, and async-graphql's validation skips an argument as a whole when a variable
//! inside it has no value. So `updateChat(input: {id: $id, pacth: {}})` would pass. This rule checks the rest of such
//! literals against the schema. It accepts every variable, because async-graphql does check whether a variable's
//! declared type fits its position.

use async_graphql::{
    Positioned,
    parser::types::{ExecutableDocument, Selection, SelectionSet},
};
use async_graphql_value::Value as InputValue;

use super::{
    types::{Object, Types},
    variables,
};

/// The mistakes in the literals of a document that has passed validation.
pub(super) fn check(document: &ExecutableDocument, types: &Types) -> Vec<Positioned<String>> {
    let mut problems = Vec::new();
    for (_, operation) in document.operations.iter() {
        let root = types.root(operation.node.ty);
        in_set(&operation.node.selection_set.node, root, types, &mut problems);
    }
    for fragment in document.fragments.values() {
        let parent = types.object(&fragment.node.type_condition.node.on.node);
        in_set(&fragment.node.selection_set.node, parent, types, &mut problems);
    }
    problems
}

fn in_set(set: &SelectionSet, parent: Option<&Object>, types: &Types, problems: &mut Vec<Positioned<String>>) {
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => {
                let shape = parent.and_then(|parent| parent.field(&field.node.name.node));
                for (name, value) in &field.node.arguments {
                    let ty = shape.and_then(|shape| shape.argument(&name.node));
                    if let Some(ty) = ty.filter(|_| contains_variable(&value.node))
                        && let Err(mismatch) = variables::check(&value.node, ty, types)
                    {
                        problems.push(Positioned::new(
                            format!("Invalid value for argument {}", mismatch.describe(&name.node)),
                            name.pos,
                        ));
                    }
                }
                let below = shape.and_then(|shape| types.object(&shape.type_name));
                in_set(&field.node.selection_set.node, below, types, problems);
            }
            Selection::InlineFragment(inline) => {
                let condition = inline.node.type_condition.as_ref().map(|condition| &condition.node.on.node);
                let parent = condition.map_or(parent, |name| types.object(name));
                in_set(&inline.node.selection_set.node, parent, types, problems);
            }
            Selection::FragmentSpread(_) => {}
        }
    }
}

fn contains_variable(value: &InputValue) -> bool {
    match value {
        InputValue::Variable(_) => true,
        InputValue::List(items) => items.iter().any(contains_variable),
        InputValue::Object(fields) => fields.values().any(contains_variable),
        _ => false,
    }
}
