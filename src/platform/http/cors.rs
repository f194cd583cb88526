//! Which web pages may call: CORS for all, and in development a fence around the open server.
//!
//! No cookies and no other ambient credentials exist here: a page acts with the token that it holds. So CORS only
//! decides who may read answers, and `Access-Control-Allow-Credentials` is never sent.
//!
//! Development mode is different: being able to reach the loopback address is the credential. There, any page that
//! the developer has open could post to it, open a WebSocket (CORS does not cover those), or come under its own name
//! by pointing that name at 127.0.0.1 (DNS rebinding). [`fence`] refuses all three: the `Host` must be a loopback
//! name, and an `Origin`, where there is one, must be allowed.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::Response,
};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{answer, negotiation::ResponseType};
use crate::{
    chat::website::WebsiteOrigins,
    platform::error::{Code, Error},
};

/// Browsers ask again after this time (Chromium's longest is two hours).
const PREFLIGHT_KEPT: Duration = Duration::from_hours(1);

/// The pages that may call.
#[derive(Debug)]
pub struct Origins {
    listed: Vec<String>,
    development: bool,
    websites: Option<WebsiteOrigins>,
}

impl Origins {
    /// `listed` as the settings have them (`https://example.com`; `*` is any), and in development every loopback origin.
    pub fn new(listed: &[String], development: bool) -> Self {
        let listed = listed.iter().map(|origin| origin.trim().trim_end_matches('/').to_ascii_lowercase());
        Self { listed: listed.filter(|origin| !origin.is_empty()).collect(), development, websites: None }
    }

    /// Also the origins that the websites list.
    #[must_use]
    pub fn and_websites(self, websites: WebsiteOrigins) -> Self {
        Self { websites: Some(websites), ..self }
    }

    /// Whether a page of `origin` may call. The one place that decides it.
    pub async fn allows(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        if self.development && is_loopback_origin(&origin) {
            return true;
        }
        // In development `*` would hand the open server to every page.
        if self.listed.iter().any(|listed| *listed == origin || (listed == "*" && !self.development)) {
            return true;
        }
        match &self.websites {
            Some(websites) => websites.list(&origin).await,
            None => false,
        }
    }

    /// The layer that answers preflights and marks answers.
    pub fn layer(self: &Arc<Self>) -> CorsLayer {
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
            .max_age(PREFLIGHT_KEPT)
    }
}

/// For development: refuses what a foreign web page sends. WebSocket upgrades pass here too.
pub async fn fence(State(origins): State<Arc<Origins>>, request: Request, next: Next) -> Response {
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
    answer::denied(ResponseType::Json, StatusCode::FORBIDDEN, Error::new(Code::Forbidden, why))
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
    async fn listed_origins_always_and_loopback_in_development() {
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
            assert_eq!(Origins::new(&listed, true).allows(origin).await, development, "{origin}");
            assert_eq!(Origins::new(&listed, false).allows(origin).await, any, "{origin}");
        }
        assert!(!Origins::new(&listed[..1], false).allows("http://localhost:3000").await);
    }
}
