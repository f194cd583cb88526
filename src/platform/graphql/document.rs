//! Documents that are parsed, guarded and validated, and the cache that keeps them so.
//!
//! A document is prepared once. Each of its operations becomes a document of its own with just the fragments that
//! it reaches, so that a request clones no more than it executes. Preparing depends on the text alone, never on
//! the values of variables: validation runs with none (async-graphql's only rule that looks at values then skips
//! what it cannot know; `literals` and `variables` make up for it), so one result holds for all requests.
//!
//! Only documents that passed are cached, under their whole text: nobody's mistakes push out what others use.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use async_graphql::{
    Name, Pos, Positioned, ServerError,
    parser::{
        self,
        types::{
            Directive, DocumentOperations, ExecutableDocument, Field, FragmentDefinition, OperationDefinition,
            OperationType, Selection, SelectionSet,
        },
    },
};
use quick_cache::{Weighter, sync::Cache};

use super::{engine::Refusal, guard::Guard, literals, types::Types, wire};
use crate::platform::error::Code;

/// The root field that callers without a valid credential may use.
const OPEN_FIELD: &str = "consumerLogin";

/// A prepared document.
#[derive(Debug)]
pub(super) struct Document {
    operations: Vec<Arc<Operation>>,
}

/// One operation, ready for any values of its variables.
#[derive(Debug)]
pub(super) struct Operation {
    name: Option<Name>,
    /// Query, mutation or subscription.
    pub(super) ty: OperationType,
    /// This operation alone, unnamed, with the fragments that it reaches.
    pub(super) executable: ExecutableDocument,
    /// True for a mutation of nothing but `consumerLogin`.
    pub(super) open: bool,
    /// True when it asks for `__schema` or `__type`.
    pub(super) introspects: bool,
    /// True when its cost has to be checked again with the values of variables.
    pub(super) paged_by_variable: bool,
    /// Its first root field, for metrics: a name of the schema, so there are not many.
    pub(super) label: Arc<str>,
}

impl Document {
    /// Guards, parses and validates `text`. `validate` is the schema's.
    pub(super) fn prepare(
        text: &str,
        guard: &Guard,
        types: &Types,
        validate: impl FnOnce(&ExecutableDocument) -> Vec<ServerError>,
    ) -> Result<Self, Refusal> {
        guard.check_text(text)?;
        let document = parser::parse_query(text).map_err(refuse_parse)?;
        guard.check_document(&document, types)?;
        let mut errors = validate(&document);
        if errors.is_empty() {
            let mistakes = literals::check(&document, types);
            errors.extend(mistakes.into_iter().map(|mistake| ServerError::new(mistake.node, Some(mistake.pos))));
        }
        if !errors.is_empty() {
            return Err(wire::refuse_all(Code::ValidationFailed, errors));
        }
        let ExecutableDocument { operations, fragments } = document;
        let operations: Vec<_> = match operations {
            DocumentOperations::Single(operation) => vec![(None, operation)],
            DocumentOperations::Multiple(operations) => {
                operations.into_iter().map(|(name, operation)| (Some(name), operation)).collect()
            }
        };
        let operations =
            operations.into_iter().map(|(name, operation)| Operation::new(name, operation, &fragments, types));
        Ok(Self { operations: operations.map(|operation| operation.map(Arc::new)).collect::<Result<_, _>>()? })
    }

    /// The operation that a request means.
    pub(super) fn operation(&self, name: Option<&str>) -> Result<&Arc<Operation>, Refusal> {
        // Some clients send an empty name for none.
        match (name.filter(|name| !name.is_empty()), self.operations.as_slice()) {
            (None, [operation]) => Ok(operation),
            (None, operations) => {
                let message = format!("operationName is required, the document has {} operations", operations.len());
                Err(wire::refuse(Code::BadUserInput, message, vec![]))
            }
            (Some(name), operations) => {
                operations.iter().find(|operation| operation.name.as_deref() == Some(name)).ok_or_else(|| {
                    let message = format!("operationName: the document has no operation named {name}");
                    wire::refuse(Code::BadUserInput, message, vec![])
                })
            }
        }
    }
}

type Fragments = HashMap<Name, Positioned<FragmentDefinition>>;

impl Operation {
    fn new(
        name: Option<Name>,
        mut operation: Positioned<OperationDefinition>,
        fragments: &Fragments,
        types: &Types,
    ) -> Result<Self, Refusal> {
        let ty = operation.node.ty;
        let roots = root_fields(&operation.node.selection_set.node, fragments);
        let mut subscribed = None;
        if ty == OperationType::Subscription {
            subscribed = Some(single_root(&roots, operation.pos)?);
        }
        let names = || roots.iter().map(|root| root.field.node.name.node.as_str());
        let open = ty == OperationType::Mutation && names().all(|name| matches!(name, OPEN_FIELD | "__typename"));
        let introspects = names().any(|name| matches!(name, "__schema" | "__type"));
        let root = types.root(ty);
        let label = names().find(|name| root.is_some_and(|root| root.field(name).is_some()));
        let label = Arc::from(label.unwrap_or("introspection"));

        if let Some(root) = subscribed {
            operation.node.selection_set.node.items = vec![root];
        }
        let reached = reachable(&operation.node.selection_set.node, fragments);
        let paged_by_variable = Guard::is_paged_by_variable(&reached, &operation.node, types)?;
        let executable = ExecutableDocument { operations: DocumentOperations::Single(operation), fragments: reached };
        Ok(Self { name, ty, executable, open, introspects, paged_by_variable, label })
    }

    /// The document that executes one message of this subscription: a query of the same field.
    pub(super) fn of_a_message(&self) -> ExecutableDocument {
        let mut executable = self.executable.clone();
        if let DocumentOperations::Single(operation) = &mut executable.operations {
            operation.node.ty = OperationType::Query;
            for selection in &mut operation.node.selection_set.node.items {
                if let Selection::Field(root) = &mut selection.node {
                    // They said whether to subscribe.
                    root.node.directives.clear();
                }
            }
        }
        executable
    }

    /// The operation itself.
    pub(super) fn definition(&self) -> &OperationDefinition {
        match &self.executable.operations {
            DocumentOperations::Single(operation) => &operation.node,
            DocumentOperations::Multiple(_) => unreachable!("made with a single operation"),
        }
    }
}

/// The fields at the top, with fragments expanded, each with the directives of the fragments around it.
fn root_fields<'a>(set: &'a SelectionSet, fragments: &'a Fragments) -> Vec<RootField<'a>> {
    let mut found = Vec::new();
    for selection in &set.items {
        let (inner, directives) = match &selection.node {
            Selection::Field(field) => {
                found.push(RootField { field, directives: Vec::new() });
                continue;
            }
            Selection::InlineFragment(inline) => (&inline.node.selection_set.node, &inline.node.directives),
            Selection::FragmentSpread(spread) => {
                let Some(fragment) = fragments.get(&spread.node.fragment_name.node) else { continue };
                (&fragment.node.selection_set.node, &spread.node.directives)
            }
        };
        // The guard has bounded what this expands to, and its depth.
        found.extend(root_fields(inner, fragments).into_iter().map(|mut root| {
            root.directives.extend(directives);
            root
        }));
    }
    found
}

struct RootField<'a> {
    field: &'a Positioned<Field>,
    directives: Vec<&'a Positioned<Directive>>,
}

/// The one root field of a subscription. async-graphql would run a stream for each field and none for those in
/// fragments; the specification has one, and `__typename` is none.
fn single_root(roots: &[RootField<'_>], position: Pos) -> Result<Positioned<Selection>, Refusal> {
    let refuse = |message: &str| Err(wire::refuse(Code::ValidationFailed, message, vec![position]));
    let mut merged: Option<Positioned<Field>> = None;
    for root in roots {
        let mut field = root.field.clone();
        field.node.directives.extend(root.directives.iter().copied().cloned());
        match &mut merged {
            None => merged = Some(field),
            Some(first) if first.node.response_key().node == field.node.response_key().node => {
                first.node.selection_set.node.items.append(&mut field.node.selection_set.node.items);
            }
            Some(_) => return refuse("a subscription has one root field"),
        }
    }
    match merged {
        Some(field) if !field.node.name.node.starts_with("__") => {
            Ok(Positioned::new(Selection::Field(field.clone()), field.pos))
        }
        _ => refuse("a subscription's root field must be one of the schema's own"),
    }
}

/// The fragments that a selection set spreads, and those that they spread.
fn reachable(set: &SelectionSet, fragments: &Fragments) -> Fragments {
    fn visit<'a>(set: &'a SelectionSet, fragments: &'a Fragments, reached: &mut HashSet<&'a Name>) {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => visit(&field.node.selection_set.node, fragments, reached),
                Selection::InlineFragment(inline) => visit(&inline.node.selection_set.node, fragments, reached),
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    if let Some(fragment) = fragments.get(name)
                        && reached.insert(name)
                    {
                        visit(&fragment.node.selection_set.node, fragments, reached);
                    }
                }
            }
        }
    }
    let mut reached = HashSet::new();
    visit(set, fragments, &mut reached);
    reached.into_iter().map(|name| (name.clone(), fragments[name].clone())).collect()
}

/// Duplicate names are mistakes of validation that the parser happens to find.
fn refuse_parse(error: parser::Error) -> Refusal {
    let code = match &error {
        parser::Error::MultipleOperations { .. }
        | parser::Error::OperationDuplicated { .. }
        | parser::Error::FragmentDuplicated { .. }
        | parser::Error::MissingOperation => Code::ValidationFailed,
        parser::Error::RecursionLimitExceeded => Code::QueryTooComplex,
        _ => Code::ParseFailed,
    };
    wire::refuse_all(code, vec![error.into()])
}

/// Prepared documents by their text.
pub(super) struct Documents {
    cache: Option<Cache<Arc<str>, Arc<Document>, TextBytes>>,
}

#[derive(Clone)]
struct TextBytes;

impl Weighter<Arc<str>, Arc<Document>> for TextBytes {
    fn weight(&self, text: &Arc<str>, _: &Arc<Document>) -> u64 {
        text.len() as u64
    }
}

impl Documents {
    /// Keeps documents of `bytes` of text in all; none for 0.
    pub(super) fn new(bytes: usize) -> Self {
        // A document has about a kilobyte; this sizes the cache's tables, nothing else.
        let documents = bytes / 1_024;
        Self { cache: (bytes > 0).then(|| Cache::with_weighter(documents.max(16), bytes as u64, TextBytes)) }
    }

    /// The document of this text, prepared now if it is not at hand.
    pub(super) fn get_or_prepare(
        &self,
        text: &str,
        prepare: impl FnOnce() -> Result<Document, Refusal>,
    ) -> Result<Arc<Document>, Refusal> {
        let Some(cache) = &self.cache else { return prepare().map(Arc::new) };
        if let Some(document) = cache.get(text) {
            return Ok(document);
        }
        // Two requests may prepare the same text at once; the later one's result stays.
        let document = Arc::new(prepare()?);
        cache.insert(Arc::from(text), Arc::clone(&document));
        Ok(document)
    }
}
