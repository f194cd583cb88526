//! The JSON envelope that both protocols share: `{"id": …, "type": …, "payload": …}`.
//!
//! Parsing borrows: a payload stays raw text until the message's type is known, so a refused message costs one pass
//! over its bytes. Writing serialises once, directly into the text of the frame.

use std::{borrow::Cow, fmt, hash::Hash, hash::Hasher, sync::Arc};

use async_graphql::{ErrorExtensionValues, ServerError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::platform::{
    error::Code,
    graphql::{engine::GraphqlRequest, response::OperationResponse},
};

/// Longest operation id, in bytes of JSON. Every message of the operation repeats it.
const ID_BYTES: usize = 1_024;

/// An operation's id as canonical JSON, to be copied into envelopes. Equal ids have equal bytes.
#[derive(Debug, Clone)]
pub(super) struct OperationId(Arc<RawValue>);

impl OperationId {
    /// Parses an id: a string, or a number if `numbers` are allowed.
    pub(super) fn read(raw: Option<&RawValue>, numbers: bool) -> Result<Self, String> {
        let raw = raw.ok_or("the message needs an `id`")?;
        if raw.get().len() > ID_BYTES {
            return Err("the `id` is too long".into());
        }
        let canonical = if raw.get().starts_with('"') {
            let text: Cow<'_, str> = serde_json::from_str(raw.get()).map_err(|_| "the `id` is not valid text")?;
            if text.is_empty() {
                return Err("the `id` must not be empty".into());
            }
            serde_json::value::to_raw_value(&text)
        } else if numbers && raw.get().starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            RawValue::from_string(raw.get().to_owned())
        } else {
            return Err("the `id` must be text".into());
        };
        Ok(Self(canonical.map_err(|_| "the `id` is not valid")?.into()))
    }

    fn json(&self) -> &RawValue {
        &self.0
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match serde_json::from_str::<Cow<'_, str>>(self.0.get()) {
            Ok(text) => f.write_str(&text),
            Err(_) => f.write_str(self.0.get()),
        }
    }
}

impl PartialEq for OperationId {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for OperationId {}

impl Hash for OperationId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.get().hash(state);
    }
}

/// A client's message with its members unparsed. `null` is the same as absent.
#[derive(Debug, Deserialize)]
pub(super) struct Incoming<'a> {
    /// The operation's id.
    #[serde(borrow, default)]
    pub(super) id: Option<&'a RawValue>,
    /// The message's type.
    #[serde(borrow, default, rename = "type")]
    kind: Option<&'a RawValue>,
    /// Its form depends on the type.
    #[serde(borrow, default)]
    pub(super) payload: Option<&'a RawValue>,
}

impl<'a> Incoming<'a> {
    /// Parses the envelope.
    pub(super) fn read(text: &'a str) -> Result<Self, String> {
        // Checked because serde also parses a struct from an array.
        if !is_object(text) {
            return Err("a message must be a JSON object".into());
        }
        serde_json::from_str(text).map_err(|error| format!("not a message: {error}"))
    }

    /// Parses the type.
    pub(super) fn kind(&self) -> Result<Cow<'a, str>, String> {
        let kind = self.kind.ok_or("the message needs a `type`")?;
        serde_json::from_str::<String>(kind.get()).map(Cow::Owned).map_err(|_| "the `type` must be text".into())
    }

    /// The payload of a message whose payload is an object or absent.
    pub(super) fn object(&self) -> Result<Option<&'a RawValue>, String> {
        match self.payload {
            Some(payload) if !is_object(payload.get()) => Err("the `payload` must be an object".into()),
            payload => Ok(payload),
        }
    }

    /// Parses the payload as a GraphQL request.
    pub(super) fn request(&self) -> Result<GraphqlRequest, String> {
        #[derive(Deserialize)]
        struct Extensions<'a> {
            #[serde(borrow, default)]
            extensions: Option<&'a RawValue>,
        }
        let payload = self.object()?.ok_or("the message needs a `payload`")?;
        let wrong = |error| format!("the `payload` is not a GraphQL request: {error}");
        let Extensions { extensions } = serde_json::from_str(payload.get()).map_err(wrong)?;
        if extensions.is_some_and(|extensions| !is_object(extensions.get())) {
            return Err("`extensions` must be an object".into());
        }
        serde_json::from_str(payload.get()).map_err(wrong)
    }
}

/// True when valid JSON text is an object.
pub(super) fn is_object(json: &str) -> bool {
    json.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{')
}

/// Serialises one message to a client.
fn write<P: Serialize>(id: Option<&OperationId>, kind: &str, payload: Option<&P>) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Outgoing<'a, P> {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
        #[serde(rename = "type")]
        kind: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<&'a P>,
    }
    serde_json::to_string(&Outgoing { id: id.map(OperationId::json), kind, payload })
}

/// Serialises a message with one response of an operation.
///
/// A shared response is JSON text already, so the message is a concatenation: 68 ns and one allocation, against 145 ns
/// and three with serde for a payload of 279 bytes (`docs/transports.md`). It runs for each subscriber of each event.
pub(super) fn write_result(
    id: &OperationId,
    kind: &str,
    response: &OperationResponse,
) -> Result<String, serde_json::Error> {
    let OperationResponse::Json(payload) = response else { return write(Some(id), kind, Some(response)) };
    Ok([r#"{"id":"#, id.json().get(), r#","type":""#, kind, r#"","payload":"#, payload.get(), "}"].concat())
}

/// As [`write`], for payloads that always serialise.
pub(super) fn write_plain<P: Serialize>(id: Option<&OperationId>, kind: &str, payload: Option<&P>) -> String {
    write(id, kind, payload).expect("text, raw JSON and errors serialise")
}

/// A GraphQL error of the transport, with its code.
pub(super) fn error(code: Code, message: impl Into<String>) -> ServerError {
    let mut error = ServerError::new(message, None);
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", code.as_str());
    error.extensions = Some(extensions);
    error
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn ids_with_equal_text_are_equal_however_escaped() {
        let read = |json| OperationId::read(Some(serde_json::from_str(json).unwrap()), false);
        assert_eq!(read(r#""A\"""#).unwrap(), read(r#""\u0041\u0022""#).unwrap());
        assert_eq!(read(r#""A\"""#).unwrap().to_string(), "A\"");
        for refused in ["1", "\"\"", "{}", "[]", "true", "\"\\ud800\""] {
            assert!(read(refused).is_err(), "{refused}");
        }
        let number = OperationId::read(Some(serde_json::from_str("17").unwrap()), true).unwrap();
        assert_eq!(write_plain(Some(&number), "complete", None::<&()>), r#"{"id":17,"type":"complete"}"#);
    }

    #[test]
    fn a_shared_response_is_written_with_the_same_bytes_as_serde_writes() {
        let id = |json: &str| OperationId::read(Some(serde_json::from_str(json).unwrap()), true).unwrap();
        for id in [id("17"), id(r#""a""#), id(r#""quote \" backslash \\ \u0000 é""#)] {
            for payload in ["{}", r#"{"data":{"a":[1,null,"\"é"]}}"#, r#"{"data":{"spaced": 1.50 }}"#] {
                let payload: Arc<RawValue> = RawValue::from_string(payload.to_owned()).unwrap().into();
                let response = OperationResponse::Json(payload);
                let by_serde = write(Some(&id), "next", Some(&response)).unwrap();
                assert_eq!(write_result(&id, "next", &response).unwrap(), by_serde);
            }
        }
    }
}
