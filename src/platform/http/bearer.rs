//! Finds the credential of a request: `Authorization: Bearer <token or API key>`.
//!
//! A credential that is there but cannot be read is refused, never taken for "none": a caller that meant to
//! prove who it is must not silently become anonymous. An empty header value is what web clients send while they
//! have no token, and counts as none.

use axum::http::{HeaderMap, header};

use crate::platform::auth::{Authenticator, Caller};

/// The credential in `headers`, without the word "Bearer".
///
/// # Errors
/// Why it cannot be read, in words that hold nothing of it.
pub fn credential(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
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

/// Who sent a request with these headers.
pub async fn caller(authenticator: &Authenticator, headers: &HeaderMap) -> Caller {
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
    fn the_token_is_found_or_the_header_refused() {
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
