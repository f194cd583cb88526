//! Counts an answer while async-graphql builds it, and stops building when its budget is spent.
//!
//! An extension sees each field and each item of a list when it has been resolved. It counts about what the field will
//! take as JSON. Once the budget is spent, it resolves nothing more: each remaining field is null at once, and the engine
//! throws the answer away. Text in records that were read is counted when it becomes part of the answer, so that a long
//! text under a hundred aliases counts a hundred times.

use std::sync::Arc;

use async_graphql::{
    ServerResult, Value, async_trait,
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextResolve, ResolveInfo},
};

use crate::platform::budget::ByteBudget;

/// Counts the fields of each answer to the budget in its request's context.
pub(super) struct CountAnswer;

impl ExtensionFactory for CountAnswer {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait::async_trait]
impl Extension for CountAnswer {
    async fn resolve(
        &self,
        context: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        let Some(budget) = context.data_opt::<Arc<ByteBudget>>() else { return next.run(context, info).await };
        if budget.is_spent() {
            return Ok(Some(Value::Null));
        }
        let is_leaf = info.field.selection_set.node.items.is_empty();
        // `"name":` and the comma after the value.
        let around = info.alias.unwrap_or(info.name).len() + 4;
        let value = next.run(context, info).await?;
        let inside = value.as_ref().map_or(4, |value| if is_leaf { size(value) } else { 2 });
        budget.answer(around + inside);
        Ok(value)
    }
}

/// The bytes of a value as JSON, without those of escapes.
fn size(value: &Value) -> usize {
    match value {
        Value::Null => 4,
        Value::Boolean(_) => 5,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Enum(name) => name.len() + 2,
        Value::Binary(bytes) => bytes.len(),
        Value::List(items) => 2 + items.iter().map(|item| size(item) + 1).sum::<usize>(),
        Value::Object(fields) => 2 + fields.iter().map(|(name, value)| name.len() + 4 + size(value)).sum::<usize>(),
    }
}
