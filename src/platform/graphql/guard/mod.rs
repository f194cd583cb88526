//! What a document may cost before anything is done with it.
//!
//! Validation and execution expand fragments, so a few hundred bytes can ask for years of work. The guard runs
//! first and is linear in the text:
//!
//! ```text
//! bytes ──► lexer: tokens, nesting, names ──► (parser) ──► measure: every operation and every fragment
//! ```
//!
//! - `depth`, `aliases`, `root_fields`, `directives` and `cost` are limits of one operation (and of one
//!   fragment, used or not), fragments expanded. Every field counts, `__typename` and introspection too.
//! - `cost` is 1 for a field plus what is below it times its page size: the argument `first` or `last` (the
//!   larger of both), else the schema's default for that argument, else 20; 1 for a field that has no such
//!   argument. A variable counts with its value; the check is then repeated for each request.
//! - Two more limits follow from the settings and keep the rules of validation cheap: what is expanded in the
//!   whole document (all operations and fragments together, with arguments and directives) is at most five
//!   times `document_tokens`, and fragments and fields together nest at most four times `document_depth`
//!   (never over 200), which bounds the stack.
//! - A fragment that spreads itself has no measure, so it is refused here, as validation would refuse it.

mod lexer;
mod measure;

use async_graphql::{
    Name, Pos, Variables,
    parser::types::{ExecutableDocument, OperationDefinition},
};

use self::measure::{Fragments, Measure, Measurer};
use super::{
    engine::Refusal,
    types::{DEFAULT_PAGE, Types},
    wire,
};
use crate::platform::{config::GuardSettings, error::Code};

/// How often the text may be repeated by fragments.
const EXPANSION: usize = 5;
/// Nesting beyond this could overflow a stack whatever the settings say.
const MAX_NESTING: usize = 200;

/// The limits.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    settings: GuardSettings,
}

impl Guard {
    /// With these limits.
    pub(super) fn new(settings: &GuardSettings) -> Self {
        Self { settings: settings.clone() }
    }

    fn nesting(&self) -> usize {
        self.settings.document_depth.saturating_mul(4).min(MAX_NESTING)
    }

    /// Holds the bytes to their limit. Runs for every request, before the cache of documents.
    pub(super) fn check_bytes(&self, text: &str) -> Result<(), Refusal> {
        let limit = self.settings.document_bytes;
        if text.len() <= limit {
            return Ok(());
        }
        Err(wire::refuse(
            Code::PayloadTooLarge,
            format!("the document has {} bytes, the limit is {limit}", text.len()),
            vec![],
        ))
    }

    /// Makes the text safe to parse.
    pub(super) fn check_text(&self, text: &str) -> Result<(), Refusal> {
        match lexer::scan(text, self.settings.document_tokens, self.nesting()) {
            Ok(_) => Ok(()),
            Err(problem) => Err(wire::refuse(problem.code, problem.message, vec![problem.position])),
        }
    }

    /// Makes the document safe to validate and execute. Page sizes in variables count 1 here;
    /// see [`Guard::check_pages`].
    pub(super) fn check_document(&self, document: &ExecutableDocument, types: &Types) -> Result<(), Refusal> {
        let measurer = measurer(&document.fragments, types, |_| 1)?;
        let mut expanded = 0_u64;
        for (name, operation) in document.operations.iter() {
            let measure = measurer.operation(&operation.node);
            let what = name.map_or_else(|| "the operation".to_owned(), |name| format!("operation {name}"));
            self.check(&what, measure, operation.pos)?;
            expanded = expanded.saturating_add(measure.size);
        }
        for (name, measure) in measurer.fragments() {
            // A fragment's top is not an operation's root.
            let top = Measure { root_fields: 0, ..measure };
            self.check(&format!("fragment {name}"), top, document.fragments[name].pos)?;
            expanded = expanded.saturating_add(measure.size);
        }
        let limit = self.settings.document_tokens.saturating_mul(EXPANSION);
        within("the document", "parts when its fragments are expanded", expanded, limit, None)
    }

    /// True when the cost of `operation` depends on variables.
    pub(super) fn is_paged_by_variable(
        fragments: &Fragments,
        operation: &OperationDefinition,
        types: &Types,
    ) -> Result<bool, Refusal> {
        Ok(measurer(fragments, types, |_| 1)?.operation(operation).paged_by_variable)
    }

    /// Holds the cost to its limit with the page sizes that the variables ask for.
    pub(super) fn check_pages(
        &self,
        document: &ExecutableDocument,
        types: &Types,
        variables: &Variables,
    ) -> Result<(), Refusal> {
        let measurer = measurer(&document.fragments, types, |name| match variables.get(name) {
            Some(async_graphql::Value::Number(size)) => size.as_u64().unwrap_or(1),
            _ => DEFAULT_PAGE,
        })?;
        for (_, operation) in document.operations.iter() {
            let cost = measurer.operation(&operation.node).cost;
            within("the operation", COST, cost, self.settings.document_cost, Some(operation.pos))?;
        }
        Ok(())
    }

    fn check(&self, what: &str, measure: Measure, position: Pos) -> Result<(), Refusal> {
        let settings = &self.settings;
        for (unit, amount, limit) in [
            ("levels of fields", measure.depth, settings.document_depth),
            ("levels of fields and fragments", measure.nesting, self.nesting()),
            ("aliases", measure.aliases, settings.document_aliases),
            ("directives", measure.directives, settings.document_directives),
            ("root fields", measure.root_fields, settings.document_root_fields),
            (COST, measure.cost, settings.document_cost),
        ] {
            within(what, unit, amount, limit, Some(position))?;
        }
        Ok(())
    }
}

const COST: &str = "fields, counted with the page sizes around them";

fn measurer<'a, P: Fn(&Name) -> u64>(
    fragments: &'a Fragments,
    types: &'a Types,
    page: P,
) -> Result<Measurer<'a, P>, Refusal> {
    Measurer::new(fragments, types, page).map_err(|(name, position)| {
        wire::refuse(Code::ValidationFailed, format!("fragment {name} spreads itself"), vec![position])
    })
}

fn within(what: &str, unit: &str, amount: u64, limit: usize, position: Option<Pos>) -> Result<(), Refusal> {
    if amount <= limit as u64 {
        return Ok(());
    }
    let message = format!("{what} has {amount} {unit}, the limit is {limit}");
    Err(wire::refuse(Code::QueryTooComplex, message, position.into_iter().collect()))
}

#[cfg(test)]
mod tests;
