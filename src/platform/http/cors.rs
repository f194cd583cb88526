//! Which web pages may call: CORS in general, and a stricter check in development mode.
//!
//! The server uses no cookies and no other ambient credentials: a page acts with the token that it holds. So
//! `Access-Control-Allow-Credentials` is never sent.
//!
//! A website's origins count for their own company. A browser asks first, without the token (the preflight), so the answer
//! to that can only say whether the origin counts for any company. The request itself is checked again when its caller is
//! known, before anything runs: a page whose origin counts only for other companies gets `FORBIDDEN`. WebSockets, which
//! CORS does not cover, are checked in the same two places: at the upgrade and when the caller is known.
//!
//! | origin | may act for |
//! | --- | --- |
//! | none: not a web page | whom its credential names |
//! | this server's own (the console), or in `SWITCHBOARD_ALLOWED_ORIGINS` | whom its credential names |
//! | in a website's `allowedOrigins` | that website's company, and callers without a credential |
//! | any other | nobody |
//!
//! In development mode access to the loopback address is the credential. Any page open in the developer's browser
//! could post to it, open a WebSocket (CORS does not cover those), or reach it under the page's own host name by
//! pointing that name at 127.0.0.1 (DNS rebinding). `require_local` refuses all three: the `Host` must be a loopback
//! name, and an `Origin`, if there is one, must be allowed.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::Response,
};
use futures_util::future::BoxFuture;
use tower_http::cors::{AllowOrigin, CorsLayer};
use uuid::Uuid;

use super::{negotiation::ResponseType, response};
use crate::platform::{
    auth::{Caller, PageOrigin},
    error::{Code, Error, Result},
};

/// Why a page's request is refused.
pub(super) const FOREIGN: &str = "web pages of this origin may not act for this company";

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How long a browser may cache a preflight response (Chromium's maximum is two hours).
const PREFLIGHT_MAX_AGE: Duration = Duration::from_hours(1);

/// Allows origins that are not in the settings, such as those that customers configure in the database.
pub trait OriginPolicy: Send + Sync + 'static {
    /// The companies for which pages of `origin`, given in lower case, may act. Runs for every request with an unlisted
    /// `Origin` header, so it must be cheap for repeated and for made-up origins.
    fn companies<'a>(&'a self, origin: &'a str) -> BoxFuture<'a, Arc<[Uuid]>>;
}

/// The origin of a web page that sends a request: another origin than this server's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page(Arc<str>);

impl Page {
    /// The page that sends a request with these headers; `None` if no page does, or a page of this server.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        let origin = text(header::ORIGIN)?;
        // Browsers set this header and pages cannot. Where it is missing, the Host tells, if no proxy replaced it.
        let is_own = text(SEC_FETCH_SITE) == Some("same-origin")
            || origin.split_once("://").is_some_and(|(_, authority)| {
                text(header::HOST).is_some_and(|host| host.eq_ignore_ascii_case(authority))
            });
        (!is_own).then(|| Self(origin.to_ascii_lowercase().into()))
    }
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

    /// Whether a page of `origin` may call at all. CORS and `require_local` both decide by this.
    pub(super) async fn allows(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        self.lists(&origin) || !self.companies(&origin).await.is_empty()
    }

    /// Checks that the page may act for this caller.
    ///
    /// # Errors
    /// `FORBIDDEN`
    pub(super) async fn admit(&self, page: Option<&Page>, caller: &Caller) -> Result<()> {
        let Some(Page(origin)) = page else { return Ok(()) };
        if self.lists(origin) {
            return Ok(());
        }
        let companies = self.companies(origin).await;
        let admitted = match caller {
            Caller::Known(principal) => companies.contains(&principal.company_id),
            Caller::Anonymous | Caller::Refused(_) | Caller::Unavailable(_) => !companies.is_empty(),
        };
        if admitted { Ok(()) } else { Err(Error::forbidden(FOREIGN)) }
    }

    /// The page, for what is decided when the website is known that a request is about.
    pub(super) fn describe(&self, Page(origin): &Page) -> PageOrigin {
        PageOrigin { origin: Arc::clone(origin), is_listed: self.lists(origin) }
    }

    /// True for an origin that the settings list, in development also for a loopback origin.
    fn lists(&self, origin: &str) -> bool {
        if self.development && is_loopback_origin(origin) {
            return true;
        }
        // In development `*` would hand the open server to every page.
        self.listed.iter().any(|listed| listed == origin || (listed == "*" && !self.development))
    }

    async fn companies(&self, origin: &str) -> Arc<[Uuid]> {
        match &self.policy {
            Some(policy) => policy.companies(origin).await,
            None => Arc::default(),
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
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::platform::auth::{Credential, Principal, Role};

    struct Shops;

    const ACME: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    impl OriginPolicy for Shops {
        fn companies<'a>(&'a self, origin: &'a str) -> BoxFuture<'a, Arc<[Uuid]>> {
            let companies: &[Uuid] = if origin == "https://acme.example" { &[ACME] } else { &[] };
            Box::pin(async move { companies.into() })
        }
    }

    fn caller(company_id: Uuid) -> Caller {
        Caller::Known(Arc::new(Principal {
            company_id,
            role: Role::Service,
            subject: "server".to_owned(),
            earlier: None,
            website_id: None,
            agent_id: None,
            session_id: None,
            expires_at: None,
            credential: Credential::Token,
        }))
    }

    fn headers(values: &[(HeaderName, &str)]) -> HeaderMap {
        values.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[tokio::test]
    async fn a_websites_origin_counts_for_its_own_company_only() {
        let origins = Origins::new(&["https://console.example".to_owned()], false, Some(Arc::new(Shops)));
        let refused = Caller::Refused("expired".to_owned());
        let table = [
            ("https://Acme.example", [true, false, true, true]),
            ("https://console.example", [true, true, true, true]),
            ("https://evil.example", [false, false, false, false]),
            ("null", [false, false, false, false]),
        ];
        for (origin, expected) in table {
            let page = Page::of(&headers(&[(header::ORIGIN, origin), (header::HOST, "api.example")]));
            let callers = [&caller(ACME), &caller(OTHER), &Caller::Anonymous, &refused];
            for (caller, expected) in callers.into_iter().zip(expected) {
                let admitted = origins.admit(page.as_ref(), caller).await;
                assert_eq!(admitted.is_ok(), expected, "{origin}: {caller:?}");
            }
        }
        origins.admit(None, &caller(OTHER)).await.unwrap();
    }

    #[test]
    fn requests_of_other_programs_and_of_this_servers_own_pages_have_no_page() {
        let host = (header::HOST, "api.example:4000");
        for own in [
            headers(std::slice::from_ref(&host)),
            headers(&[host.clone(), (header::ORIGIN, "http://API.example:4000")]),
            headers(&[
                (header::HOST, "inside"),
                (header::ORIGIN, "https://api.example"),
                (SEC_FETCH_SITE, "same-origin"),
            ]),
        ] {
            assert_eq!(Page::of(&own), None, "{own:?}");
        }
        for other in ["http://api.example", "http://api.example:4001", "null", "https://evil.example"] {
            assert!(Page::of(&headers(&[host.clone(), (header::ORIGIN, other)])).is_some(), "{other}");
        }
    }

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
