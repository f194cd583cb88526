//! The schema's types, as far as the checks before execution need them: names, input types, sizes of lists, costs.
//!
//! They are read once from the SDL, because async-graphql's registry is private. Types that the SDL omits
//! (introspection, built-in scalars) are not found here. Every check treats a type that is not found as valid and
//! leaves it to async-graphql's validation.

use std::collections::{HashMap, HashSet};

use async_graphql::{
    Name, Positioned, Value,
    parser::types::{
        BaseType, ConstDirective, FieldDefinition, InputObjectType, InputValueDefinition, OperationType, Type,
        TypeKind, TypeSystemDefinition,
    },
};

/// The page size that the guard assumes for a paged list when neither the document nor the schema gives one.
pub(super) const DEFAULT_PAGE: u64 = 20;
/// The size that the guard assumes for a list without pages whose field says nothing by `@listSize`.
const DEFAULT_LIST: u64 = 1_000;

/// The schema's types, each kind by name.
#[derive(Debug, Default)]
pub(super) struct Types {
    objects: HashMap<String, Object>,
    inputs: HashMap<String, Input>,
    enums: HashMap<String, HashSet<Name>>,
    query: Option<String>,
    mutation: Option<String>,
    subscription: Option<String>,
}

/// An object or interface: its fields by name.
#[derive(Debug, Default)]
pub(super) struct Object {
    fields: HashMap<String, Field>,
}

/// A field of an object or interface.
#[derive(Debug)]
pub(super) struct Field {
    /// The declared type, with list and non-null.
    pub(super) ty: Type,
    /// The name of the declared type, without list and non-null.
    pub(super) type_name: String,
    /// Items of a page when the document does not give the size; `None` for a field that is not paged.
    pub(super) page: Option<u64>,
    /// Most items of a list that is not paged; 1 for a field that is no list, and for a list within a page.
    pub(super) list_size: u64,
    /// What the field costs besides its selection: 1, or what `@cost` says.
    pub(super) cost: u64,
    arguments: HashMap<String, Type>,
}

/// An input object: its fields by name.
#[derive(Debug, Default)]
pub(super) struct Input {
    fields: HashMap<String, InputField>,
    /// The names of the fields that have no default and are not nullable.
    pub(super) required: Vec<String>,
    /// True for `@oneOf`: exactly one field must be given, and it must not be null.
    pub(super) one_of: bool,
}

/// A field of an input object.
#[derive(Debug)]
pub(super) struct InputField {
    /// The declared type, with list and non-null.
    pub(super) ty: Type,
}

impl Types {
    /// Reads a schema's SDL.
    ///
    /// # Panics
    /// When `sdl` does not parse. async-graphql wrote it, so that is a fault of this program, found at start.
    pub(super) fn read(sdl: &str) -> Self {
        let document = async_graphql::parser::parse_schema(sdl).expect("async-graphql parses the SDL that it writes");
        let mut types = Self::default();
        for definition in document.definitions {
            match definition {
                TypeSystemDefinition::Schema(schema) => {
                    let schema = schema.node;
                    let name = |root: Option<Positioned<Name>>| root.map(|root| root.node.to_string());
                    types.query = name(schema.query);
                    types.mutation = name(schema.mutation);
                    types.subscription = name(schema.subscription);
                }
                TypeSystemDefinition::Type(definition) => {
                    let definition = definition.node;
                    let directives: Vec<ConstDirective> =
                        definition.directives.into_iter().map(|directive| directive.node).collect();
                    types.insert(definition.name.node.to_string(), definition.kind, &directives);
                }
                TypeSystemDefinition::Directive(_) => {}
            }
        }
        types.count_lists_of_pages_once();
        types
    }

    /// A page is a connection, whose `nodes` and `edges` have the size that the argument of the field above gave. So these
    /// lists multiply nothing again.
    fn count_lists_of_pages_once(&mut self) {
        let fields = self.objects.values().flat_map(|object| object.fields.values());
        let pages: HashSet<String> =
            fields.filter(|field| field.page.is_some()).map(|field| field.type_name.clone()).collect();
        let pages = self.objects.iter_mut().filter(|(name, _)| pages.contains(*name) && name.ends_with("Connection"));
        for field in pages.flat_map(|(_, page)| page.fields.values_mut()) {
            field.list_size = 1;
        }
    }

    fn insert(&mut self, name: String, kind: TypeKind, directives: &[ConstDirective]) {
        match kind {
            TypeKind::Object(object) => {
                self.objects.insert(name, Object::new(object.fields.into_iter().map(|field| field.node)));
            }
            TypeKind::Interface(interface) => {
                self.objects.insert(name, Object::new(interface.fields.into_iter().map(|field| field.node)));
            }
            TypeKind::Enum(values) => {
                self.enums.insert(name, values.values.into_iter().map(|value| value.node.value.node).collect());
            }
            TypeKind::InputObject(input) => {
                let one_of = directives.iter().any(|directive| directive.name.node == "oneOf");
                self.inputs.insert(name, Input::new(input, one_of));
            }
            TypeKind::Scalar | TypeKind::Union(_) => {}
        }
    }

    pub(super) fn object(&self, name: &str) -> Option<&Object> {
        self.objects.get(name)
    }

    /// The root type of this kind of operation.
    pub(super) fn root(&self, operation: OperationType) -> Option<&Object> {
        let name = match operation {
            OperationType::Query => &self.query,
            OperationType::Mutation => &self.mutation,
            OperationType::Subscription => &self.subscription,
        };
        self.object(name.as_deref()?)
    }

    pub(super) fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.get(name)
    }

    pub(super) fn enum_values(&self, name: &str) -> Option<&HashSet<Name>> {
        self.enums.get(name)
    }
}

impl Object {
    fn new(fields: impl Iterator<Item = FieldDefinition>) -> Self {
        Self { fields: fields.map(|field| (field.name.node.to_string(), Field::new(field))).collect() }
    }

    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.get(name)
    }
}

impl Field {
    fn new(field: FieldDefinition) -> Self {
        let arguments: Vec<InputValueDefinition> = field.arguments.into_iter().map(|argument| argument.node).collect();
        let page =
            arguments.iter().filter(|argument| is_page_size(&argument.name.node)).map(|argument| {
                match argument.default_value.as_ref().map(|value| &value.node) {
                    Some(Value::Number(size)) => size.as_u64().unwrap_or(DEFAULT_PAGE),
                    _ => DEFAULT_PAGE,
                }
            });
        let page = page.max();
        let is_list = matches!(field.ty.node.base, BaseType::List(_));
        let list_size = if is_list && page.is_none() {
            argument_of(&field.directives, "listSize", "assumedSize").unwrap_or(DEFAULT_LIST)
        } else {
            1
        };
        Self {
            type_name: base_name(&field.ty.node.base).to_owned(),
            ty: field.ty.node,
            page,
            list_size,
            cost: argument_of(&field.directives, "cost", "weight").unwrap_or(1),
            arguments: arguments
                .into_iter()
                .map(|argument| (argument.name.node.to_string(), argument.ty.node))
                .collect(),
        }
    }

    pub(super) fn argument(&self, name: &str) -> Option<&Type> {
        self.arguments.get(name)
    }
}

impl Input {
    fn new(input: InputObjectType, one_of: bool) -> Self {
        let fields = input.fields.into_iter().map(|field| field.node);
        let mut shape = Self { one_of, ..Self::default() };
        for field in fields {
            let name = field.name.node.to_string();
            if !field.ty.node.nullable && field.default_value.is_none() {
                shape.required.push(name.clone());
            }
            shape.fields.insert(name, InputField { ty: field.ty.node });
        }
        shape
    }

    pub(super) fn field(&self, name: &str) -> Option<&InputField> {
        self.fields.get(name)
    }
}

/// True for the arguments that give the number of items of a page.
pub(super) fn is_page_size(argument: &str) -> bool {
    matches!(argument, "first" | "last")
}

/// The number that a directive of a field has as this argument.
fn argument_of(directives: &[Positioned<ConstDirective>], directive: &str, argument: &str) -> Option<u64> {
    let directive = directives.iter().find(|found| found.node.name.node == directive)?;
    match &directive.node.get_argument(argument)?.node {
        Value::Number(number) => number.as_u64(),
        _ => None,
    }
}

fn base_name(base: &BaseType) -> &str {
    match base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => base_name(&inner.base),
    }
}
