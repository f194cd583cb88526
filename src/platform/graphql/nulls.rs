//! Null where a field failed, as the specification wants it.
//!
//! async-graphql leaves a field whose resolver failed out of its object, whatever its type, and makes an object
//! with nothing left null. Clients that normalise results stumble over missing keys, and a non-null field that is
//! missing breaks what was promised to them. So, only for responses with errors, each error's path is followed
//! through the operation and the schema to the nearest place that may be null, and that place is made null:
//!
//! ```text
//! chat { id rating(failed, Int) }    ->  chat { id rating: null }
//! chat { id! headline(failed, String!) }    ->  chat: null, or whatever around it may be null
//! ```

use async_graphql::{
    Name, PathSegment, ServerError, Value,
    indexmap::IndexMap,
    parser::types::{BaseType, ExecutableDocument, Field, Selection, SelectionSet, Type},
};

use super::{
    document::Operation,
    types::{Object, Types},
};

/// Puts null at the right places of `data` for the `errors` that have a path.
pub(super) fn complete(data: &mut Value, errors: &[ServerError], operation: &Operation, types: &Types) {
    let mut places: Vec<&[PathSegment]> = errors
        .iter()
        .filter(|error| !error.path.is_empty())
        .filter_map(|error| Some(&error.path[..nullable(&error.path, operation, types)?]))
        .collect();
    // A place further out wins over those inside it.
    places.sort_by_key(|place| std::cmp::Reverse(place.len()));
    for place in places {
        put_null(data, place);
    }
}

/// How much of `path` leads to the innermost place on it that may be null; `None` where the schema says nothing
/// (introspection). The response as a whole may always be null.
fn nullable(path: &[PathSegment], operation: &Operation, types: &Types) -> Option<usize> {
    let document = &operation.executable;
    let mut sets = vec![(&operation.definition().selection_set.node, types.root(operation.ty))];
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

/// The fields with this response key, each with the object or interface that it is selected on.
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

fn put_null(data: &mut Value, place: &[PathSegment]) {
    let mut at = data;
    for segment in place {
        if *at == Value::Null && matches!(segment, PathSegment::Field(_)) {
            // An object of which every field failed.
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
