//! Which web pages may open a socket in development mode.
//!
//! A WebSocket is not subject to CORS: any page that a browser shows may open one to any address, also to
//! 127.0.0.1. Where callers have to prove who they are that is harmless, as no credential is ambient (no cookies).
//! In development mode an anonymous caller is the demo company's service, so there a page from elsewhere, or one
//! whose name was rebound to 127.0.0.1, must not get in. Clients other than browsers send no `Origin`.

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri, header::ORIGIN};

/// True when the request comes from no page, from one on a loopback address, or from one that is `allowed`.
pub(super) fn is_local(headers: &HeaderMap, allowed: &[String]) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => true,
        (Some(origin), None) => {
            origin.to_str().is_ok_and(|origin| is_loopback(origin) || allowed.iter().any(|a| a == origin))
        }
        (Some(_), Some(_)) => false,
    }
}

fn is_loopback(origin: &str) -> bool {
    let Ok(uri) = origin.parse::<Uri>() else { return false };
    let Some(host) = uri.host().filter(|_| matches!(uri.scheme_str(), Some("http" | "https"))) else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_machine() {
        for local in [
            "http://localhost:3000",
            "https://LOCALHOST",
            "http://127.0.0.1:4000",
            "http://[::1]:80",
            "http://app.localhost",
        ] {
            assert!(is_loopback(local), "{local}");
        }
        for other in [
            "null",
            "http://evil.example",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://localhost@evil.example",
            "file://localhost",
            "http://192.168.0.7",
            "",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
        let mut headers = HeaderMap::new();
        assert!(is_local(&headers, &[]));
        headers.insert(ORIGIN, "https://app.example".parse().unwrap());
        assert!(!is_local(&headers, &[]) && is_local(&headers, &["https://app.example".into()]));
        headers.append(ORIGIN, "http://localhost".parse().unwrap());
        assert!(!is_local(&headers, &["https://app.example".into()]));
    }
}
