//! A record in a message of a stream, and what hangs on it.
//!
//! A message shows the flat record as it was at its event; the subscriber had the right to see that. The objects and lists
//! inside the record are read when the message is executed, perhaps long after the event. So they are shown only if the
//! subscriber may see the record as it is now, and a DELETE never shows them:
//!
//! ```text
//! leaf fields        ─► the record of the event
//! objects and lists  ─► DELETE:  null or empty, without a query
//!                       others:  read ─► may the subscriber still see the record? ── no ─► null or empty
//! ```
//! The right is checked after the objects were read: whoever may see the record then may see all that was read before.
//!
//! This holds for the record of every stream, whatever its concept, because [`Shown`] resolves the record's fields by the
//! types that the schema gives them. A field that cannot be null is an empty list, or an object of empty fields. A test
//! refuses record types in which that is impossible.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_graphql::{
    ContainerType, Context, ContextSelectionSet, OutputType, Positioned, ServerResult, Value,
    parser::types::Field,
    registry::{MetaType, MetaTypeName, Registry},
    resolver_utils::resolve_container,
};
use futures_util::future::BoxFuture;

use crate::platform::error::Result;

/// Checks whether a subscriber may see a record as it is now.
pub(super) trait StillVisible: Send + Sync {
    fn is_visible<'a>(&'a self, context: &'a Context<'_>) -> BoxFuture<'a, Result<bool>>;
}

/// A record of type `T` in a message.
pub struct Shown<T> {
    record: T,
    /// Decides on the objects and lists inside the record; `None` withholds them.
    still_visible: Option<Arc<dyn StillVisible>>,
}

impl<T> Shown<T> {
    /// A record whose objects and lists are shown while the record is visible.
    pub(super) fn while_visible(record: T, still_visible: Arc<dyn StillVisible>) -> Self {
        Self { record, still_visible: Some(still_visible) }
    }

    /// A record without objects and lists.
    pub(super) fn flat(record: T) -> Self {
        Self { record, still_visible: None }
    }
}

impl<T: ContainerType> OutputType for Shown<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(&self, context: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        let Some(still_visible) = &self.still_visible else { return self.resolve_flat(context).await };
        let whole = View { record: &self.record, is_flat: false, has_read: AtomicBool::new(false) };
        let value = resolve_container(context, &whole).await?;
        if !whole.has_read.load(Ordering::Relaxed) {
            return Ok(value);
        }
        let context_of_field = context.with_field(field);
        match still_visible.is_visible(&context_of_field).await {
            Ok(true) => Ok(value),
            Ok(false) => self.resolve_flat(context).await,
            Err(error) => Err(async_graphql::Error::from(error).into_server_error(field.pos)),
        }
    }
}

impl<T: ContainerType> Shown<T> {
    async fn resolve_flat(&self, context: &ContextSelectionSet<'_>) -> ServerResult<Value> {
        let flat = View { record: &self.record, is_flat: true, has_read: AtomicBool::new(false) };
        resolve_container(context, &flat).await
    }
}

/// The record, with an eye on its objects and lists.
struct View<'r, T> {
    record: &'r T,
    /// Gives null or empty for them.
    is_flat: bool,
    /// Set when one of them was resolved.
    has_read: AtomicBool,
}

impl<T: ContainerType> OutputType for View<'_, T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(&self, context: &ContextSelectionSet<'_>, _field: &Positioned<Field>) -> ServerResult<Value> {
        resolve_container(context, self).await
    }
}

impl<T: ContainerType> ContainerType for View<'_, T> {
    async fn resolve_field(&self, context: &Context<'_>) -> ServerResult<Option<Value>> {
        if let Some(of_type) = inner_type(context, &T::type_name()) {
            if self.is_flat {
                return empty(context, of_type).await.map(Some);
            }
            self.has_read.store(true, Ordering::Relaxed);
        }
        self.record.resolve_field(context).await
    }
}

/// The type of the field that `context` resolves in the object `parent`, if it is an object or a list.
fn inner_type<'a>(context: &Context<'a>, parent: &str) -> Option<&'a str> {
    let registry = &context.schema_env.registry;
    let of_type = registry.types.get(parent)?.field_by_name(&context.item.node.name.node)?.ty.as_str();
    let is_leaf = matches!(
        registry.types.get(MetaTypeName::concrete_typename(of_type)),
        Some(MetaType::Scalar { .. } | MetaType::Enum { .. })
    );
    (!is_leaf || of_type.starts_with('[')).then_some(of_type)
}

/// An empty value of this type.
fn empty<'a>(context: &'a Context<'_>, of_type: &'a str) -> BoxFuture<'a, ServerResult<Value>> {
    Box::pin(async move {
        match MetaTypeName::create(of_type) {
            MetaTypeName::NonNull(of_type) => match MetaTypeName::create(of_type) {
                MetaTypeName::List(_) => Ok(Value::List(Vec::new())),
                MetaTypeName::Named("Boolean") => Ok(Value::Boolean(false)),
                MetaTypeName::Named("Int" | "Float") => Ok(Value::from(0)),
                MetaTypeName::Named(of_type) | MetaTypeName::NonNull(of_type) => {
                    let selected = context.with_selection_set(&context.item.node.selection_set);
                    resolve_container(&selected, &Empty { of_type }).await
                }
            },
            MetaTypeName::List(_) | MetaTypeName::Named(_) => Ok(Value::Null),
        }
    })
}

/// An object whose fields are all empty.
struct Empty<'t> {
    of_type: &'t str,
}

impl OutputType for Empty<'_> {
    /// The type is known only at run time, see `introspection_type_name`.
    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("")
    }

    fn introspection_type_name(&self) -> Cow<'static, str> {
        self.of_type.to_owned().into()
    }

    fn create_type_info(_registry: &mut Registry) -> String {
        String::new()
    }

    async fn resolve(&self, context: &ContextSelectionSet<'_>, _field: &Positioned<Field>) -> ServerResult<Value> {
        resolve_container(context, self).await
    }
}

impl ContainerType for Empty<'_> {
    async fn resolve_field(&self, context: &Context<'_>) -> ServerResult<Option<Value>> {
        let fields = context.schema_env.registry.types.get(self.of_type);
        let field = fields.and_then(|object| object.field_by_name(&context.item.node.name.node));
        match field {
            Some(field) => empty(context, &field.ty).await.map(Some),
            None => Ok(None),
        }
    }
}
