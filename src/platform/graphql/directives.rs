//! What the schema says about the cost of its fields. The names and meanings are those of the GraphQL cost directives
//! specification, so that gateways and linters understand them too. The document guard reads them from the schema's text.

#![expect(
    missing_docs,
    reason = "of a documented function the macro makes a type and a function without documentation"
)]

use async_graphql::TypeDirective;

/// The cost of the field besides its selection, where it is not 1.
#[TypeDirective(location = "FieldDefinition", name = "cost")]
pub fn cost(weight: i32) {}

/// The most items of a list without pages. The cost of its selection counts that often.
#[TypeDirective(location = "FieldDefinition", name = "listSize")]
pub fn list_size(assumed_size: i32) {}

/// The cost of a field that reads one record.
pub const RECORD: i32 = 5;
/// The cost of a field that reads a list.
pub const LIST: i32 = 10;
/// The cost of a field whose text may have several kilobytes.
pub const TEXT: i32 = 5;
