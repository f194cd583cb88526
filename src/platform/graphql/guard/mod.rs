//! The document guard: bounds what a document may cost, before it is parsed, validated or executed.
//!
//! Validation and execution expand fragments, so a few hundred bytes can demand years of work. The guard runs first
//! and takes time linear in the text:
//!
//! ```text
//! bytes ──► lexer: tokens, nesting, names ──► (parser) ──► measure: every operation and every fragment
//! ```
//!
//! - `depth`, `aliases`, `root_fields`, `directives` and `cost` limit each operation and each fragment (used or not),
//!   with fragments expanded. Every field counts, `__typename` and introspection included.
//! - The `cost` of a field is 1, or what the schema's directive `@cost` says, plus the cost of its selection times the
//!   size of the list. For a paged list that is the argument `first` or `last` (the larger of both), else the schema's
//!   default for that argument, else 20; for any other list what `@listSize` says, else 1,000; for all else 1, also for the
//!   lists of introspection. A variable counts with its value, so the check is repeated for each request.
//! - Lists of introspection that lead from type to type (`fields`, `interfaces`, `possibleTypes`, `inputFields`) nest at
//!   most twice: each further level would multiply the answer by the size of the schema.
//! - Two more limits follow from the settings and keep validation cheap. The expanded size of the whole document (all
//!   operations and fragments, with arguments and directives) is at most five times `document_tokens`. Fields and
//!   fragments together nest at most four times `document_depth` (and never over 200), which bounds the stack.
//! - A fragment that spreads itself has no finite measure. It is refused here, with the code of validation.

mod lexer;
mod measure;

use async_graphql::{
    Name, Pos, Variables,
    parser::types::{ExecutableDocument, OperationDefinition},
};

use self::measure::{Fragments, Measure, Measurer};
use super::{
    error_response::{self, Refusal},
    types::{DEFAULT_PAGE, Types},
};
use crate::platform::{config::GuardSettings, error::Code};

/// Most levels of lists of introspection that lead from type to type, as in graphql-js.
const INTROSPECTED_LISTS: usize = 2;
/// Largest expanded size of a document, as a multiple of `document_tokens`.
const EXPANSION: usize = 5;
/// Deeper nesting could overflow a stack, so no setting allows it.
const MAX_NESTING: usize = 200;

/// The settings' limits on documents.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    settings: GuardSettings,
}

impl Guard {
    pub(super) fn new(settings: &GuardSettings) -> Self {
        Self { settings: settings.clone() }
    }

    fn nesting(&self) -> usize {
        self.settings.document_depth.saturating_mul(4).min(MAX_NESTING)
    }

    /// Checks the number of bytes. Runs for every request, before the cache of documents.
    pub(super) fn check_bytes(&self, text: &str) -> Result<(), Refusal> {
        let limit = self.settings.document_bytes;
        if text.len() <= limit {
            return Ok(());
        }
        Err(error_response::refuse(
            Code::PayloadTooLarge,
            format!("the document has {} bytes, the limit is {limit}", text.len()),
            vec![],
        ))
    }

    /// Checks tokens, nesting and names. A text that passes is safe to parse.
    pub(super) fn check_text(&self, text: &str) -> Result<(), Refusal> {
        match lexer::scan(text, self.settings.document_tokens, self.nesting()) {
            Ok(_) => Ok(()),
            Err(problem) => Err(error_response::refuse(problem.code, problem.message, vec![problem.position])),
        }
    }

    /// Checks every operation and fragment. A document that passes is safe to validate, and to execute once
    /// [`Guard::check_pages`] has passed too: page sizes in variables count 1 here.
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
            // The fields of a fragment are not root fields.
            let top = Measure { root_fields: 0, ..measure };
            self.check(&format!("fragment {name}"), top, document.fragments[name].pos)?;
            expanded = expanded.saturating_add(measure.size);
        }
        let limit = self.settings.document_tokens.saturating_mul(EXPANSION);
        check_limit("the document", "parts when its fragments are expanded", expanded, limit, None)
    }

    /// The cost of `operation`; `None` when it depends on variables.
    pub(super) fn cost(
        fragments: &Fragments,
        operation: &OperationDefinition,
        types: &Types,
    ) -> Result<Option<u64>, Refusal> {
        let measure = measurer(fragments, types, |_| 1)?.operation(operation);
        Ok((!measure.paged_by_variable).then_some(measure.cost))
    }

    /// The cost of the one operation of `document` with the page sizes that `variables` give.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` over the limit.
    pub(super) fn cost_with(
        &self,
        document: &ExecutableDocument,
        types: &Types,
        variables: &Variables,
    ) -> Result<u64, Refusal> {
        let measurer = measurer(&document.fragments, types, |name| match variables.get(name) {
            Some(async_graphql::Value::Number(size)) => size.as_u64().unwrap_or(1),
            _ => DEFAULT_PAGE,
        })?;
        let mut sum = 0_u64;
        for (_, operation) in document.operations.iter() {
            let cost = measurer.operation(&operation.node).cost;
            check_limit("the operation", COST, cost, self.settings.document_cost, Some(operation.pos))?;
            sum = sum.saturating_add(cost);
        }
        Ok(sum)
    }

    /// Checks the cost of all requests of a batch together.
    pub(super) fn check_batch(&self, cost: u64) -> Result<(), Refusal> {
        check_limit("the batch", COST, cost, self.settings.document_cost, None)
    }

    fn check(&self, what: &str, measure: Measure, position: Pos) -> Result<(), Refusal> {
        let settings = &self.settings;
        for (unit, amount, limit) in [
            ("levels of fields", measure.depth, settings.document_depth),
            ("levels of fields and fragments", measure.nesting, self.nesting()),
            ("aliases", measure.aliases, settings.document_aliases),
            ("directives", measure.directives, settings.document_directives),
            ("root fields", measure.root_fields, settings.document_root_fields),
            ("levels of lists of introspection", measure.introspected_lists, INTROSPECTED_LISTS),
            (COST, measure.cost, settings.document_cost),
        ] {
            check_limit(what, unit, amount, limit, Some(position))?;
        }
        Ok(())
    }
}

const COST: &str = "units of cost";

fn measurer<'a, P: Fn(&Name) -> u64>(
    fragments: &'a Fragments,
    types: &'a Types,
    page: P,
) -> Result<Measurer<'a, P>, Refusal> {
    Measurer::new(fragments, types, page).map_err(|(name, position)| {
        error_response::refuse(Code::ValidationFailed, format!("fragment {name} spreads itself"), vec![position])
    })
}

fn check_limit(what: &str, unit: &str, amount: u64, limit: usize, position: Option<Pos>) -> Result<(), Refusal> {
    if amount <= limit as u64 {
        return Ok(());
    }
    let message = format!("{what} has {amount} {unit}, the limit is {limit}");
    Err(error_response::refuse(Code::QueryTooComplex, message, position.into_iter().collect()))
}

#[cfg(test)]
mod tests;
