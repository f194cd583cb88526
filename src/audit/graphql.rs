//! The log in the API: cursors, and the audit trail of a subject.

use async_graphql::{
    Context, ID, InputValueError, InputValueResult, Json, Object, Scalar, ScalarType, SimpleObject, Value,
    connection::{Connection, Edge, EmptyFields},
};
use sqlx::PgPool;

use crate::platform::{
    auth::Caller,
    error::{Error, Result},
    event::{Cursor, Event, HistoryPlace, Hub, Position, SubjectName, history, position_now},
    graphql::{page, scalars::Datetime},
};

/// An opaque place in the event log, for `after` of any subscription.
#[Scalar(name = "Cursor")]
impl ScalarType for Cursor {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else { return Err(InputValueError::expected_type(value)) };
        text.parse().map_err(|error: Error| InputValueError::custom(error.message()))
    }

    fn to_value(&self) -> Value {
        Value::String(self.to_string())
    }
}

/// Something that happened to a subject.
#[derive(Debug, SimpleObject)]
#[graphql(name = "Event")]
pub struct AuditEvent {
    /// Resumes a stream of this subject after this event.
    cursor: Cursor,
    /// What changed: `chat`, `chat_race`, `messages`, `contract`, `api_key`.
    subject_type: String,
    /// Which one.
    subject_id: ID,
    /// The subject's version after the change; no holes, no repeats.
    version: i32,
    /// What happened: `ChatStarted`.
    #[graphql(name = "type")]
    event_type: String,
    /// `sub` of the caller; null for a timer.
    actor: Option<ID>,
    /// The subject's record at this version.
    payload: Json<serde_json::Value>,
    /// Database time of the change.
    occurred_at: Datetime,
}

/// Where the log was before anything of this request was read. Noted before execution: fields of a query are
/// resolved side by side, so that the resolver of `logCursor` would come too late for a sibling that has read already.
pub struct RequestStart(Option<Position>);

impl RequestStart {
    /// Notes it.
    pub fn note(hub: &Hub) -> Self {
        Self(hub.position())
    }
}

/// The subject types that `events` searches when its argument names none.
pub struct SubjectTypes(pub Vec<&'static str>);

/// Queries on the event log.
#[derive(Default)]
pub struct EventQuery;

#[Object]
impl EventQuery {
    /// A place in the event log, taken before anything of this request is read: a subscription that begins `after`
    /// it misses nothing that the request did not show.
    async fn log_cursor(&self, context: &Context<'_>) -> Result<Cursor> {
        context.data_unchecked::<Caller>().principal()?;
        match &context.data_unchecked::<RequestStart>().0 {
            Some(position) => Ok(Cursor::At(position.clone())),
            None => Err(Error::unavailable("the event log has not been read yet")),
        }
    }

    /// What happened to one subject, oldest first, as long as events are kept. For the company's service and admin.
    async fn events(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "`chat`, `chat_race`, `messages`, `contract`, `api_key`; all of them when absent")]
        subject_type: Option<String>,
        subject_id: ID,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Connection<String, AuditEvent, EmptyFields, EmptyFields>> {
        let principal = context.data_unchecked::<Caller>().principal()?;
        principal.require_company()?;
        let subject_types: Vec<&str> = match &subject_type {
            Some(subject_type) => vec![subject_type],
            None => context.data_unchecked::<SubjectTypes>().0.clone(),
        };
        let first = page::size("first", first)?;
        let after = after.as_deref().map(HistoryPlace::parse).transpose()?;
        let mut connection = context.data_unchecked::<PgPool>().acquire().await?;
        let (position, _) = position_now(&mut connection).await?;
        let mut events =
            history(&mut connection, principal.company_id, &subject_types, &subject_id, after.as_ref(), first + 1)
                .await?;
        let more = events.len() > first;
        events.truncate(first);
        let mut page = Connection::new(after.is_some(), more);
        page.edges = events
            .into_iter()
            .map(|event| {
                let place = HistoryPlace::of(&event).to_string();
                Ok(Edge::new(place, AuditEvent::new(event, &position)?))
            })
            .collect::<Result<_>>()?;
        Ok(page)
    }
}

impl AuditEvent {
    fn new(event: Event, position: &Position) -> Result<Self> {
        let subject = SubjectName::new(&event.subject_type, &event.subject_id);
        Ok(Self {
            cursor: subject.cursor(position, event.version),
            subject_type: event.subject_type,
            subject_id: ID(event.subject_id),
            version: event.version,
            event_type: event.event_type,
            actor: event.actor.map(ID),
            payload: Json(serde_json::from_str(&event.payload)?),
            occurred_at: event.occurred_at.into(),
        })
    }
}
