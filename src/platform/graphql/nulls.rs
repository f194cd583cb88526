//! Null propagation: a failed field is null, or the nearest nullable field around it is.
//!
//! async-graphql omits a failed field from its object, whatever the field's type, and turns an object without fields
//! into null. The specification demands a null instead: clients that normalise results need every key, and a missing
//! non-null field breaks the schema's promise. So for each error of a response this module follows the error's path
//! through the operation and the schema to the innermost nullable position, and sets that position to null:
//!
//! ```text
//! chat { id  rating: Int, failed }          ─►  chat { id  rating: null }
//! chat { id  headline: String!, failed }    ─►  chat: null, if `chat` is nullable; else further out
//! ```
//! Responses without errors are not touched.

use async_graphql::{
    Name, PathSegment, ServerError, Value,
    indexmap::IndexMap,
    parser::types::{BaseType, ExecutableDocument, Field, Selection, SelectionSet, Type},
};

use super::types::{Object, Types};

/// Sets the nulls in `data` that `errors` with a path demand. `document` holds the executed operation alone.
pub(super) fn propagate(data: &mut Value, errors: &[ServerError], document: &ExecutableDocument, types: &Types) {
    let mut places: Vec<&[PathSegment]> = errors
        .iter()
        .filter(|error| !error.path.is_empty())
        .filter_map(|error| Some(&error.path[..nullable_prefix(&error.path, document, types)?]))
        .collect();
    // Outer positions last: they replace what was set inside them.
    places.sort_by_key(|place| std::cmp::Reverse(place.len()));
    for place in places {
        set_null(data, place);
    }
}

/// The number of segments of `path` that lead to its innermost nullable position; 0 is the response's `data`, which is
/// always nullable. `None` for fields that the schema does not list (introspection).
fn nullable_prefix(path: &[PathSegment], document: &ExecutableDocument, types: &Types) -> Option<usize> {
    let (_, operation) = document.operations.iter().next()?;
    let mut sets = vec![(&operation.node.selection_set.node, types.root(operation.node.ty))];
    let mut nearest = 0;
    let mut current: Option<&Type> = None;
    for (index, segment) in path.iter().enumerate() {
        let ty = match segment {
            PathSegment::Field(key) => {
                let mut found = Vec::new();
                for (set, parent) in sets {
                    collect(set, parent, key, document, types, &mut found);
                }
                let shapes = || found.iter().map(|(field, parent)| (*parent)?.field(&field.name.node));
                let ty = &shapes().flatten().next()?.ty;
                let below = shapes().map(|shape| types.object(&shape?.type_name));
                sets = found.iter().map(|(field, _)| &field.selection_set.node).zip(below).collect();
                ty
            }
            PathSegment::Index(_) => match &current?.base {
                BaseType::List(item) => &**item,
                BaseType::Named(_) => return Some(nearest),
            },
        };
        if ty.nullable {
            nearest = index + 1;
        }
        current = Some(ty);
    }
    Some(nearest)
}

/// Appends the fields with this response key to `found`, each with the object or interface that it is selected on.
fn collect<'a>(
    set: &'a SelectionSet,
    parent: Option<&'a Object>,
    key: &str,
    document: &'a ExecutableDocument,
    types: &'a Types,
    found: &mut Vec<(&'a Field, Option<&'a Object>)>,
) {
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => {
                if field.node.response_key().node == key {
                    found.push((&field.node, parent));
                }
            }
            Selection::InlineFragment(inline) => {
                let condition = inline.node.type_condition.as_ref().map(|condition| &condition.node.on.node);
                let parent = condition.map_or(parent, |name| types.object(name));
                collect(&inline.node.selection_set.node, parent, key, document, types, found);
            }
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    let parent = types.object(&fragment.node.type_condition.node.on.node);
                    collect(&fragment.node.selection_set.node, parent, key, document, types, found);
                }
            }
        }
    }
}

fn set_null(data: &mut Value, place: &[PathSegment]) {
    let mut at = data;
    for segment in place {
        if *at == Value::Null && matches!(segment, PathSegment::Field(_)) {
            // Every field of this object failed, so async-graphql made it null.
            *at = Value::Object(IndexMap::new());
        }
        at = match (at, segment) {
            (Value::Object(fields), PathSegment::Field(key)) => fields.entry(Name::new(key)).or_insert(Value::Null),
            (Value::List(items), PathSegment::Index(index)) if *index < items.len() => &mut items[*index],
            _ => return,
        };
    }
    *at = Value::Null;
}
