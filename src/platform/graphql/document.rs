//! Prepared documents (parsed, guarded, validated) and their cache.
//!
//! A document is prepared once. Each of its operations becomes a document of its own with only the fragments that it
//! reaches, so that a request clones no more than it executes.
//!
//! Preparing depends on the text alone, never on the values of variables, so one result serves all requests.
//! Validation therefore runs without values. The one rule of async-graphql that reads them skips what it cannot
//! check; `literals` and `variables` check that instead.
//!
//! The cache holds valid documents only, under their whole text: invalid documents cannot evict them.

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

use super::{
    error_response::{self, Refusal},
    guard::Guard,
    literals, nul,
    types::Types,
};
use crate::platform::error::Code;

/// The root field that callers with a refused credential may use: they log in with it.
const OPEN_FIELD: &str = "consumerLogin";

/// A document whose every operation may be executed.
#[derive(Debug)]
pub(super) struct Document {
    operations: Vec<Arc<Operation>>,
}

/// One operation of a prepared document, for any values of its variables.
#[derive(Debug)]
pub(super) struct Operation {
    name: Option<Name>,
    pub(super) ty: OperationType,
    /// This operation alone, with the fragments that it reaches.
    pub(super) executable: ExecutableDocument,
    /// True for a mutation that selects nothing but `consumerLogin`.
    pub(super) open: bool,
    /// The number of `consumerLogin` fields.
    pub(super) logins: u32,
    /// The number of the mutation's other root fields.
    pub(super) writes: u32,
    /// True when it selects `__schema` or `__type`.
    pub(super) introspects: bool,
    /// `None` when a page size is a variable: the cost is then measured again for each request.
    pub(super) cost: Option<u64>,
    /// The first root field, as a metric label: a name of the schema, so the number of labels is bounded.
    pub(super) label: Arc<str>,
}

impl Document {
    /// Guards, parses and validates `text`; `validate` applies the schema's rules.
    pub(super) fn prepare(
        text: &str,
        guard: &Guard,
        types: &Types,
        validate: impl FnOnce(&ExecutableDocument) -> Vec<ServerError>,
    ) -> Result<Self, Refusal> {
        guard.check_text(text)?;
        let document = parser::parse_query(text).map_err(refuse_parse)?;
        guard.check_document(&document, types)?;
        nul::check(&document)?;
        let mut errors = validate(&document);
        if errors.is_empty() {
            let mistakes = literals::check(&document, types);
            errors.extend(mistakes.into_iter().map(|mistake| ServerError::new(mistake.node, Some(mistake.pos))));
        }
        if !errors.is_empty() {
            return Err(error_response::refuse_all(Code::ValidationFailed, errors));
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

    /// The operation that `name` selects; without a name, the only one.
    pub(super) fn operation(&self, name: Option<&str>) -> Result<&Arc<Operation>, Refusal> {
        // Some clients send an empty name instead of none.
        match (name.filter(|name| !name.is_empty()), self.operations.as_slice()) {
            (None, [operation]) => Ok(operation),
            (None, operations) => {
                let message = format!("operationName is required, the document has {} operations", operations.len());
                Err(error_response::refuse(Code::BadUserInput, message, vec![]))
            }
            (Some(name), operations) => {
                operations.iter().find(|operation| operation.name.as_deref() == Some(name)).ok_or_else(|| {
                    let message = format!("operationName: the document has no operation named {name}");
                    error_response::refuse(Code::BadUserInput, message, vec![])
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
        let mutations = || names().filter(|name| ty == OperationType::Mutation && *name != "__typename");
        // The guard has bounded their number.
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
        let logins = number(mutations().filter(|name| *name == OPEN_FIELD).count());
        let writes = number(mutations().count()) - logins;
        let introspects = names().any(|name| matches!(name, "__schema" | "__type"));
        let root = types.root(ty);
        let label = names().find(|name| root.is_some_and(|root| root.field(name).is_some()));
        let label = Arc::from(label.unwrap_or("introspection"));

        if let Some(root) = subscribed {
            operation.node.selection_set.node.items = vec![root];
        }
        let reached = reachable(&operation.node.selection_set.node, fragments);
        let cost = Guard::cost(&reached, &operation.node, types)?;
        let executable = ExecutableDocument { operations: DocumentOperations::Single(operation), fragments: reached };
        Ok(Self { name, ty, executable, open, logins, writes, introspects, cost, label })
    }

    /// The document that executes one message of this subscription: a query of the same root field.
    pub(super) fn message_document(&self) -> ExecutableDocument {
        let mut executable = self.executable.clone();
        if let DocumentOperations::Single(operation) = &mut executable.operations {
            operation.node.ty = OperationType::Query;
            for selection in &mut operation.node.selection_set.node.items {
                if let Selection::Field(root) = &mut selection.node {
                    // Root directives were evaluated at subscribe time.
                    root.node.directives.clear();
                }
            }
        }
        executable
    }

    /// The operation's definition within `executable`.
    pub(super) fn definition(&self) -> &OperationDefinition {
        match &self.executable.operations {
            DocumentOperations::Single(operation) => &operation.node,
            DocumentOperations::Multiple(_) => unreachable!("`new` makes `executable` of a single operation"),
        }
    }
}

/// The root fields, with fragments expanded, each with the directives of the fragments around it.
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
        // The guard has bounded the number of expanded fields and their depth.
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

/// The one root field of a subscription, merged from all selections of its response key. async-graphql would run a
/// stream for each root field, and none for those in fragments; the specification allows one root field, which must not
/// be an introspection field.
fn single_root(roots: &[RootField<'_>], position: Pos) -> Result<Positioned<Selection>, Refusal> {
    let refuse = |message: &str| Err(error_response::refuse(Code::ValidationFailed, message, vec![position]));
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

/// The fragments that a selection set spreads, directly or through other fragments.
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

/// The code of a parser error. Duplicate names are validation errors that the parser happens to find.
fn refuse_parse(error: parser::Error) -> Refusal {
    let code = match &error {
        parser::Error::MultipleOperations { .. }
        | parser::Error::OperationDuplicated { .. }
        | parser::Error::FragmentDuplicated { .. }
        | parser::Error::MissingOperation => Code::ValidationFailed,
        parser::Error::RecursionLimitExceeded => Code::QueryTooComplex,
        _ => Code::ParseFailed,
    };
    error_response::refuse_all(code, vec![error.into()])
}

/// Prepared documents by their text, the least used evicted first.
pub(super) struct DocumentCache {
    cache: Option<Cache<Arc<str>, Arc<Document>, TextBytes>>,
}

#[derive(Clone)]
struct TextBytes;

impl Weighter<Arc<str>, Arc<Document>> for TextBytes {
    fn weight(&self, text: &Arc<str>, _: &Arc<Document>) -> u64 {
        text.len() as u64
    }
}

impl DocumentCache {
    /// Holds documents of `bytes` of text in total; 0 turns the cache off.
    pub(super) fn new(bytes: usize) -> Self {
        // An estimate that sizes the cache's tables: a document has about a kilobyte.
        let documents = bytes / 1_024;
        Self { cache: (bytes > 0).then(|| Cache::with_weighter(documents.max(16), bytes as u64, TextBytes)) }
    }

    /// The document of this text, from the cache or else prepared now.
    pub(super) fn get_or_prepare(
        &self,
        text: &str,
        prepare: impl FnOnce() -> Result<Document, Refusal>,
    ) -> Result<Arc<Document>, Refusal> {
        let Some(cache) = &self.cache else { return prepare().map(Arc::new) };
        if let Some(document) = cache.get(text) {
            return Ok(document);
        }
        // Two requests may prepare the same text at once; the cache keeps the later result.
        let document = Arc::new(prepare()?);
        cache.insert(Arc::from(text), Arc::clone(&document));
        Ok(document)
    }
}
