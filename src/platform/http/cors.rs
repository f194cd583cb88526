//! Which web pages may call: CORS in general, and a stricter check in development mode.
//!
//! The server uses no cookies and no other ambient credentials: a page acts with the token that it holds. So CORS
//! decides only which pages may read responses, and `Access-Control-Allow-Credentials` is never sent.
//!
//! In development mode access to the loopback address is the credential. Any page open in the developer's browser
//! could post to it, open a WebSocket (CORS does not cover those), or reach it under the page's own host name by
//! pointing that name at 127.0.0.1 (DNS rebinding). `require_local` refuses all three: the `Host` must be a loopback
//! name, and an `Origin`, if there is one, must be allowed.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::Response,
};
use futures_util::future::BoxFuture;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{negotiation::ResponseType, response};
use crate::platform::error::{Code, Error};

/// How long a browser may cache a preflight response (Chromium's maximum is two hours).
const PREFLIGHT_MAX_AGE: Duration = Duration::from_hours(1);

/// Allows origins that are not in the settings, such as those that customers configure in the database.
pub trait OriginPolicy: Send + Sync + 'static {
    /// Whether pages of `origin`, given in lower case, may call. Runs for every request with an unlisted `Origin`
    /// header, so it must be cheap for repeated and for made-up origins.
    fn allows<'a>(&'a self, origin: &'a str) -> BoxFuture<'a, bool>;
}

/// The origins whose pages may call.
pub(super) struct Origins {
    listed: Vec<String>,
    development: bool,
    policy: Option<Arc<dyn OriginPolicy>>,
}

impl Origins {
    /// Allows the `listed` origins (`https://example.com`; `*` is any), those that `policy` allows, and in development
    /// every loopback origin.
    pub(super) fn new(listed: &[String], development: bool, policy: Option<Arc<dyn OriginPolicy>>) -> Self {
        let listed = listed.iter().map(|origin| origin.trim().trim_end_matches('/').to_ascii_lowercase());
        Self { listed: listed.filter(|origin| !origin.is_empty()).collect(), development, policy }
    }

    /// Whether a page of `origin` may call. CORS and `require_local` both decide by this.
    pub(super) async fn allows(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        if self.development && is_loopback_origin(&origin) {
            return true;
        }
        // In development `*` would hand the open server to every page.
        if self.listed.iter().any(|listed| *listed == origin || (listed == "*" && !self.development)) {
            return true;
        }
        match &self.policy {
            Some(policy) => policy.allows(&origin).await,
            None => false,
        }
    }

    /// The layer that responds to preflights and adds the CORS headers to responses.
    pub(super) fn layer(self: &Arc<Self>) -> CorsLayer {
        let origins = Arc::clone(self);
        let allow = AllowOrigin::async_predicate(move |origin: HeaderValue, _| async move {
            match origin.to_str() {
                Ok(origin) => origins.allows(origin).await,
                Err(_) => false,
            }
        });
        CorsLayer::new()
            .allow_origin(allow)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
            .expose_headers([header::RETRY_AFTER, header::WWW_AUTHENTICATE, HeaderName::from_static("x-request-id")])
            .max_age(PREFLIGHT_MAX_AGE)
    }
}

/// Development mode: refuses requests, WebSocket upgrades included, with a foreign `Host` or `Origin`.
pub(super) async fn require_local(State(origins): State<Arc<Origins>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let header = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = request.uri().host().map(str::to_owned).or_else(|| header(header::HOST).map(host_of));
    if host.is_some_and(|host| !is_loopback(&host)) {
        return refused("in development mode the Host must be a loopback name");
    }
    if let Some(origin) = header(header::ORIGIN)
        && !origins.allows(origin).await
    {
        return refused("in development mode web pages of other origins may not call");
    }
    next.run(request).await
}

fn refused(why: &str) -> Response {
    response::error(ResponseType::Json, StatusCode::FORBIDDEN, Error::new(Code::Forbidden, why))
}

fn host_of(value: &str) -> String {
    value.parse::<Authority>().map_or_else(|_| value.to_owned(), |authority| authority.host().to_owned())
}

fn is_loopback_origin(origin: &str) -> bool {
    origin.parse::<Uri>().is_ok_and(|uri| uri.scheme().is_some() && uri.host().is_some_and(is_loopback))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let host = host.to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn listed_origins_may_always_call_and_loopback_origins_only_in_development() {
        let listed = ["https://Shop.example/".to_owned(), "*".to_owned()];
        let table = [
            ("https://shop.example", true, true),
            ("http://localhost:3000", true, true),
            ("http://127.0.0.1:5173", true, true),
            ("http://[::1]:8080", true, true),
            ("http://app.localhost", true, true),
            ("https://evil.example", false, true),
            ("http://localhost.evil.example", false, true),
            ("http://127.0.0.1.evil.example", false, true),
            ("null", false, true),
        ];
        for (origin, development, any) in table {
            assert_eq!(Origins::new(&listed, true, None).allows(origin).await, development, "{origin}");
            assert_eq!(Origins::new(&listed, false, None).allows(origin).await, any, "{origin}");
        }
        assert!(!Origins::new(&listed[..1], false, None).allows("http://localhost:3000").await);
    }
}
