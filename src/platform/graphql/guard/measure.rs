//! Measures a document as if its fragments were expanded, without expanding them.
//!
//! Each fragment is measured once, after the fragments that it spreads (post-order), and every spread adds that
//! measure. So the time is linear in the text, however large the measure is. The numbers saturate.

use std::collections::HashMap;

use async_graphql::{
    Name, Pos, Positioned,
    parser::types::{Directive, Field, FragmentDefinition, OperationDefinition, Selection, SelectionSet},
};

use async_graphql_value::Value;

use crate::platform::graphql::types::{self, DEFAULT_PAGE, Object, Types};

/// The lists of introspection that lead from type to type, so that they can be nested without end.
const INTROSPECTED_LISTS: [&str; 4] = ["fields", "interfaces", "possibleTypes", "inputFields"];

/// The fragments of a document by name.
pub(super) type Fragments = HashMap<Name, Positioned<FragmentDefinition>>;

/// The amounts that the guard limits, all with fragments expanded.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Measure {
    /// Levels of nested fields.
    pub(super) depth: u64,
    /// Levels of fields, fragment spreads and inline fragments: the recursion depth of the executor.
    pub(super) nesting: u64,
    /// Fields with an alias.
    pub(super) aliases: u64,
    /// Directives on the operation, its variables, fields, spreads and fragments.
    pub(super) directives: u64,
    /// Fields of the outermost selection set.
    pub(super) root_fields: u64,
    /// Nodes that a validation rule may visit: fields, spreads, inline fragments, directives, argument values.
    pub(super) size: u64,
    /// The costs of the fields, each multiplied by the sizes of the lists around it.
    pub(super) cost: u64,
    /// Levels of nested lists of introspection, below which the answer grows with the schema at each level.
    pub(super) introspected_lists: u64,
    /// True when a page size is a variable, so that `cost` depends on its value.
    pub(super) paged_by_variable: bool,
}

impl Measure {
    /// Adds the measure of a sibling selection.
    fn add(&mut self, other: Self) {
        self.depth = self.depth.max(other.depth);
        self.nesting = self.nesting.max(other.nesting);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.directives = self.directives.saturating_add(other.directives);
        self.root_fields = self.root_fields.saturating_add(other.root_fields);
        self.size = self.size.saturating_add(other.size);
        self.cost = self.cost.saturating_add(other.cost);
        self.introspected_lists = self.introspected_lists.max(other.introspected_lists);
        self.paged_by_variable |= other.paged_by_variable;
    }

    /// Adds one level around this measure: a field, a spread or an inline fragment.
    fn enclose(mut self) -> Self {
        self.nesting = self.nesting.saturating_add(1);
        self.size = self.size.saturating_add(1);
        self
    }
}

/// Measures the operations of one document. `page` maps a variable to its page size.
pub(super) struct Measurer<'a, P> {
    types: &'a Types,
    page: P,
    fragments: HashMap<&'a Name, Measure>,
}

impl<'a, P: Fn(&Name) -> u64> Measurer<'a, P> {
    /// Measures all fragments first, used or not.
    ///
    /// # Errors
    /// The name of a fragment that spreads itself, and the position of that spread.
    pub(super) fn new(fragments: &'a Fragments, types: &'a Types, page: P) -> Result<Self, (&'a Name, Pos)> {
        let mut measurer = Self { types, page, fragments: HashMap::new() };
        for (name, fragment) in post_order(fragments)? {
            let parent = types.object(&fragment.type_condition.node.on.node);
            let mut measure = measurer.selection_set(&fragment.selection_set.node, parent);
            measure.add(measurer.directives(&fragment.directives));
            measurer.fragments.insert(name, measure);
        }
        Ok(measurer)
    }

    /// The measure of each fragment, used or not.
    pub(super) fn fragments(&self) -> impl Iterator<Item = (&'a Name, Measure)> {
        self.fragments.iter().map(|(name, measure)| (*name, *measure))
    }

    pub(super) fn operation(&self, operation: &'a OperationDefinition) -> Measure {
        let mut measure = self.selection_set(&operation.selection_set.node, self.types.root(operation.ty));
        measure.add(self.directives(&operation.directives));
        for variable in &operation.variable_definitions {
            measure.add(self.directives(&variable.node.directives));
            measure.size = measure.size.saturating_add(1);
        }
        measure
    }

    fn selection_set(&self, set: &'a SelectionSet, parent: Option<&'a Object>) -> Measure {
        let mut measure = Measure::default();
        for selection in &set.items {
            measure.add(match &selection.node {
                Selection::Field(field) => self.field(&field.node, parent),
                Selection::FragmentSpread(spread) => {
                    // Validation reports unknown fragments.
                    self.fragments.get(&spread.node.fragment_name.node).copied().unwrap_or_default().enclose()
                }
                Selection::InlineFragment(inline) => {
                    let condition = inline.node.type_condition.as_ref().map(|condition| &condition.node.on.node);
                    let parent = condition.map_or(parent, |name| self.types.object(name));
                    self.selection_set(&inline.node.selection_set.node, parent).enclose()
                }
            });
            measure.add(self.directives(selection.node.directives()));
        }
        measure
    }

    fn field(&self, field: &'a Field, parent: Option<&'a Object>) -> Measure {
        let shape = parent.and_then(|parent| parent.field(&field.name.node));
        let below = shape.and_then(|shape| self.types.object(&shape.type_name));
        let mut measure = self.selection_set(&field.selection_set.node, below);
        let (size, by_variable) = if let Some(shape) = shape {
            self.size(field, shape)
        } else {
            // Types of introspection are not in the schema's text.
            let is_list = parent.is_none() && INTROSPECTED_LISTS.contains(&field.name.node.as_str());
            measure.introspected_lists += u64::from(is_list);
            (1, false)
        };
        measure.depth = measure.depth.saturating_add(1);
        measure.aliases = measure.aliases.saturating_add(u64::from(field.alias.is_some()));
        measure.root_fields = 1;
        // An item costs something also if nothing is selected of it.
        let item = if size > 1 { measure.cost.max(1) } else { measure.cost };
        measure.cost = item.saturating_mul(size).saturating_add(shape.map_or(1, |shape| shape.cost));
        measure.paged_by_variable |= by_variable;
        for (_, value) in &field.arguments {
            measure.size = measure.size.saturating_add(values(&value.node));
        }
        measure.enclose()
    }

    /// The factor for the cost of the selection of `field`, and whether a variable determines it.
    fn size(&self, field: &Field, shape: &types::Field) -> (u64, bool) {
        let default = shape.page;
        let mut sizes = field.arguments.iter().filter(|(name, _)| types::is_page_size(&name.node)).peekable();
        if sizes.peek().is_none() {
            return (default.unwrap_or(shape.list_size).max(1), false);
        }
        let (mut page, mut by_variable) = (1, false);
        for (_, value) in sizes {
            page = page.max(match &value.node {
                Value::Number(size) => size.as_u64().unwrap_or(1), // the resolver refuses negative sizes
                Value::Variable(name) => {
                    by_variable = true;
                    (self.page)(name)
                }
                _ => default.unwrap_or(DEFAULT_PAGE),
            });
        }
        (page, by_variable)
    }

    fn directives(&self, directives: &[Positioned<Directive>]) -> Measure {
        let mut measure = Measure { directives: directives.len() as u64, ..Measure::default() };
        for directive in directives {
            let arguments = directive.node.arguments.iter().map(|(_, value)| values(&value.node));
            measure.size = measure.size.saturating_add(1 + arguments.sum::<u64>());
        }
        measure
    }
}

/// The number of values in `value`, itself included. The lexer has bounded its nesting.
fn values(value: &Value) -> u64 {
    1 + match value {
        Value::List(items) => items.iter().map(values).sum(),
        Value::Object(fields) => fields.values().map(values).sum(),
        _ => 0,
    }
}

/// The fragments, each after all fragments that it spreads. Not recursive: a chain of fragments may be long.
fn post_order(fragments: &Fragments) -> Result<Vec<(&Name, &FragmentDefinition)>, (&Name, Pos)> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        Open,
        Done,
    }
    let mut roots: Vec<_> = fragments.iter().collect();
    roots.sort_unstable_by_key(|(_, fragment)| fragment.pos); // so that the same document gives the same error
    let mut states: HashMap<&Name, State> = HashMap::with_capacity(fragments.len());
    let mut order = Vec::with_capacity(fragments.len());
    for (root, fragment) in roots {
        if states.contains_key(root) {
            continue;
        }
        states.insert(root, State::Open);
        let mut path = vec![(root, &fragment.node, spreads(&fragment.node.selection_set.node).into_iter())];
        while let Some((name, fragment, pending)) = path.last_mut() {
            let Some((next, position)) = pending.next() else {
                states.insert(name, State::Done);
                order.push((*name, *fragment));
                path.pop();
                continue;
            };
            match (states.get(next), fragments.get_key_value(next)) {
                (Some(State::Open), _) => return Err((next, position)),
                (None, Some((name, fragment))) => {
                    states.insert(name, State::Open);
                    path.push((name, &fragment.node, spreads(&fragment.node.selection_set.node).into_iter()));
                }
                (Some(State::Done), _) | (None, None) => {}
            }
        }
    }
    Ok(order)
}

/// The fragments that a selection set spreads at any level. The lexer has bounded the levels of one definition.
fn spreads(set: &SelectionSet) -> Vec<(&Name, Pos)> {
    fn collect<'a>(set: &'a SelectionSet, found: &mut Vec<(&'a Name, Pos)>) {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => collect(&field.node.selection_set.node, found),
                Selection::InlineFragment(inline) => collect(&inline.node.selection_set.node, found),
                Selection::FragmentSpread(spread) => found.push((&spread.node.fragment_name.node, spread.pos)),
            }
        }
    }
    let mut found = Vec::new();
    collect(set, &mut found);
    found
}
