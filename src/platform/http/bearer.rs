//! The credential of an HTTP request: `Authorization: Bearer <token or API key>`.
//!
//! A malformed credential is refused and never treated as absent: a caller that sends one must not silently become
//! anonymous. An empty header value counts as absent, because web clients send one while they have no token.

use axum::http::{HeaderMap, header};

use crate::platform::auth::{Authenticator, Caller};

/// The credential in `headers`, without the scheme.
///
/// # Errors
/// Why the header is malformed; the text does not repeat the header.
pub(super) fn credential(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("more than one Authorization header");
    }
    let text = value.to_str().map_err(|_| "the Authorization header is not ASCII")?.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let (scheme, token) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err("the Authorization header must read: Bearer <token>");
    }
    match token.trim() {
        "" => Err("no token after the word Bearer"),
        token if token.contains([' ', '\t', ',']) => Err("more than a token after the word Bearer"),
        token => Ok(Some(token)),
    }
}

/// The caller that the headers' credential proves.
pub(super) async fn caller(authenticator: &Authenticator, headers: &HeaderMap) -> Caller {
    match credential(headers) {
        Ok(token) => authenticator.caller(token).await,
        Err(why) => Caller::Refused(why.into()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_header_gives_its_token_or_is_refused() {
        type Row = (&'static [&'static str], Result<Option<&'static str>, ()>);
        let table: &[Row] = &[
            (&[], Ok(None)),
            (&[""], Ok(None)),
            (&["Bearer a.b.c"], Ok(Some("a.b.c"))),
            (&["bearer   a.b.c "], Ok(Some("a.b.c"))),
            (&["BEARER\ta"], Ok(Some("a"))),
            (&["Bearer"], Err(())),
            (&["Bearer "], Err(())),
            (&["a.b.c"], Err(())),
            (&["Bearera.b.c"], Err(())),
            (&["Basic dXNlcjpwYXNz"], Err(())),
            (&["Bearer a b"], Err(())),
            (&["Bearer a, Bearer b"], Err(())),
            (&["Bearer a", "Bearer b"], Err(())),
        ];
        for (values, expected) in table {
            let headers: HeaderMap =
                values.iter().map(|value| (header::AUTHORIZATION, value.parse().unwrap())).collect();
            assert_eq!(credential(&headers).map_err(drop), *expected, "{values:?}");
        }
    }
}
