//! The plain page for a browser when the binary has no console: what this server is, how to build the console, and an
//! example request. The page loads nothing, and its policy allows nothing but its own style.

use std::sync::LazyLock;

use axum::{
    http::{HeaderMap, HeaderValue, header, uri::Authority},
    response::{Html, IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

const STYLE: &str = "body{font:16px/1.6 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;color:#1b1f24}\
h1{font-size:1.5rem}code,pre{font:14px/1.5 ui-monospace,monospace;background:#f2f4f7;border-radius:4px}\
code{padding:.1em .3em}pre{padding:1rem;overflow-x:auto}pre code{padding:0}";

static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// An example request in plain text, for clients that are not browsers.
pub(super) fn example_text(headers: &HeaderMap) -> Response {
    let mut response = text(headers).into_response();
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// The plain page, in HTML.
pub(super) fn plain(headers: &HeaderMap) -> Response {
    let base = base(headers);
    let example = example(&base);
    let socket = base.replacen("http", "ws", 1);
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Switchboard</title>\
<meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\n\
<h1>Switchboard</h1>\n\
<p>A server that makes racy conversations safe: a customer asks once, every free agent is offered the chat, \
exactly one wins. It speaks GraphQL.</p>\n\
<ul><li>Queries and mutations: <code>POST {base}/graphql</code> (queries also by <code>GET</code>)</li>\n\
<li>Subscriptions: <code>{socket}/graphql</code>, WebSocket subprotocol <code>graphql-transport-ws</code></li>\n\
<li>Credential: <code>Authorization: Bearer &lt;token or API key&gt;</code></li></ul>\n\
<p>Try it:</p>\n<pre><code>{}</code></pre>\n\
<p>This build has no GraphiQL: <code>make web</code> builds it (needs Node), then build the server again.</p>\n\
<p><a href=\"/ready\">/ready</a> &middot; <a href=\"/metrics\">/metrics</a></p>\n</body></html>\n",
        example.replace('&', "&amp;").replace('<', "&lt;")
    );
    let mut response = Html(html).into_response();
    protect(&mut response, POLICY.clone());
    response
}

/// The headers of every page: its content policy, no frames, no referrer. `Vary` is `Accept`, because the same path
/// also serves other media types.
pub(super) fn protect(response: &mut Response, policy: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
}

fn text(headers: &HeaderMap) -> String {
    format!("Switchboard: GraphQL at /graphql. Try:\n\n{}\n", example(&base(headers)))
}

fn example(base: &str) -> String {
    format!("curl {base}/graphql -H 'content-type: application/json' \\\n  -d '{{\"query\":\"{{ __typename }}\"}}'")
}

/// The server's address as the client wrote it. The host is repeated only if it is a plain host and port, because it
/// goes into HTML and a shell command.
fn base(headers: &HeaderMap) -> String {
    let value = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    let host = value(header::HOST)
        .filter(|host| host.chars().all(harmless) && host.parse::<Authority>().is_ok())
        .unwrap_or("localhost:4000");
    let secure = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme.as_bytes() == b"https");
    format!("{}://{host}", if secure { "https" } else { "http" })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_other_characters_is_not_repeated() {
        for (host, expected) in [
            ("chat.example:8080", "http://chat.example:8080"),
            ("[::1]:4000", "http://[::1]:4000"),
            ("x';rm -rf ~;'", "http://localhost:4000"),
            ("<script>", "http://localhost:4000"),
        ] {
            let headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            assert_eq!(base(&headers), expected);
        }
    }
}
