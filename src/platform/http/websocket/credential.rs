//! The credential of a socket, from the init payload or the upgrade request.
//!
//! Browsers cannot set headers on a WebSocket, so clients put the token into the payload of `connection_init`. Deployed
//! clients use these names: `authToken`, `Authorization`, `authorization`, or one of the three under `headers`. The
//! prefix "Bearer" is optional. An empty value is absent. A value that is not text is refused, so that its sender does
//! not silently become anonymous.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{message::is_object, protocol::Credential};

/// The credential on the upgrade request.
pub(super) fn from_headers(headers: &HeaderMap) -> Credential {
    match headers.get(AUTHORIZATION).map(|value| value.to_str()) {
        None => Ok(None),
        Some(Ok(text)) => Ok(bare(text)),
        Some(Err(_)) => Err("the credential must be plain text".into()),
    }
}

/// The credential in the payload of `connection_init`.
pub(super) fn from_init(payload: Option<&RawValue>) -> Credential {
    match payload {
        Some(payload) if is_object(payload.get()) => named(payload, true),
        _ => Ok(None),
    }
}

fn named(payload: &RawValue, look_inside: bool) -> Credential {
    #[derive(Deserialize)]
    struct Names<'a> {
        #[serde(borrow, default, rename = "authToken")]
        token: Option<&'a RawValue>,
        #[serde(borrow, default, rename = "Authorization")]
        capital: Option<&'a RawValue>,
        #[serde(borrow, default)]
        authorization: Option<&'a RawValue>,
        #[serde(borrow, default)]
        headers: Option<&'a RawValue>,
    }
    let names: Names<'_> =
        serde_json::from_str(payload.get()).map_err(|_| "the init payload names a credential twice")?;
    for value in [names.token, names.capital, names.authorization].into_iter().flatten() {
        let text: String = serde_json::from_str(value.get()).map_err(|_| "the credential must be text")?;
        if let Some(credential) = bare(&text) {
            return Ok(Some(credential));
        }
    }
    match names.headers {
        Some(headers) if look_inside && is_object(headers.get()) => named(headers, false),
        _ => Ok(None),
    }
}

/// The credential without the prefix "Bearer"; `None` when it is empty.
fn bare(text: &str) -> Option<String> {
    let text = text.trim();
    let bare = match text.split_at_checked(6) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") && rest.trim_start().len() < rest.len() => rest,
        Some((scheme, "")) if scheme.eq_ignore_ascii_case("bearer") => "",
        _ => text,
    };
    Some(bare.trim()).filter(|bare| !bare.is_empty()).map(str::to_owned)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_credential_is_found_under_every_name_that_clients_use() {
        let read = |json: &str| from_init(Some(serde_json::from_str(json).unwrap()));
        for found in [
            r#"{"authToken":"t"}"#,
            r#"{"authToken":"Bearer t"}"#,
            r#"{"Authorization":"Bearer t"}"#,
            r#"{"authorization":" bearer  t "}"#,
            r#"{"headers":{"Authorization":"t"}}"#,
            r#"{"headers":{"authorization":"BEARER t"}}"#,
            r#"{"headers":{"authToken":"t"}}"#,
            r#"{"authToken":"","Authorization":null,"headers":{"authorization":"t"},"more":[1]}"#,
            r#"{"authToken":"t","headers":{"authorization":"u"}}"#,
        ] {
            assert_eq!(read(found), Ok(Some("t".into())), "{found}");
        }
        for none in [
            "{}",
            "[]",
            r#""t""#,
            r#"{"authToken":null}"#,
            r#"{"authToken":"Bearer "}"#,
            r#"{"authToken":"Bearer"}"#,
            r#"{"headers":{"headers":{"authToken":"t"}}}"#,
            r#"{"headers":"t"}"#,
        ] {
            assert_eq!(read(none), Ok(None), "{none}");
        }
        for refused in [r#"{"authToken":7}"#, r#"{"Authorization":{"t":1}}"#, r#"{"headers":{"authorization":["t"]}}"#]
        {
            assert!(read(refused).is_err(), "{refused}");
        }
        assert_eq!(bare("bearers"), Some("bearers".into()));
    }
}
