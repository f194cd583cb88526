//! The console: `GraphiQL` on this server's own API, for a person with a browser.
//!
//! `make web` builds `web/` into `web/dist`, and compiling embeds what is there. Without it the binary is complete
//! all the same and serves the plain page of [`page`], which says how to build the console.
//!
//! ```text
//! /  or  /graphql   index.html     asked for anew each time (a new binary has new assets), 304 when unchanged
//! /assets/NAME      all the rest   its name holds the hash of its content: kept for good
//! ```
//! Nothing comes from another host: the page has to work without the internet, and its policy allows none. Scripts and
//! workers are files of ours. Only styles may be inline, because the editor positions its lines by `style` attributes.

use std::borrow::Cow;

use axum::{
    body::{Body, Bytes},
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use rust_embed::{Embed, EmbeddedFile};

use super::{endpoints::unknown_path, negotiation, page};

/// What `web/` was built into when this binary was compiled; perhaps nothing.
#[derive(Embed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Files;

const PAGE: &str = "index.html";

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The page, or the plain one where the console was not built.
pub(super) fn page(headers: &HeaderMap) -> Response {
    let Some(file) = Files::get(PAGE) else { return page::plain(headers) };
    let tag = entity_tag(&file);
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|tags| {
        let tags = tags.to_str().unwrap_or_default();
        tags.split(',').any(|known| tag.as_bytes() == known.trim().trim_start_matches("W/").as_bytes())
    });
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], body(file)).into_response()
    };
    page::protect(&mut response, POLICY);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response.headers_mut().insert(header::ETAG, tag);
    response
}

/// `GET /assets/{name}`. Each text file lies there twice, as it is and compressed.
pub(crate) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let path = format!("assets/{name}");
    let (Some(kind), Some(file)) = (content_type(&name), Files::get(&path)) else { return unknown_path().await };
    let compressed = Files::get(&format!("{path}.gz"));
    let varies = compressed.is_some();
    // A client that is particular about its codings (`gzip;q=0.1`) gets the file as it is, which everybody reads.
    let compressed = compressed.filter(|_| negotiation::has_token(&headers, header::ACCEPT_ENCODING, "gzip"));
    let coded = compressed.is_some();
    let mut response = ([(header::CONTENT_TYPE, kind)], body(compressed.unwrap_or(file))).into_response();
    let headers = response.headers_mut();
    if coded {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if varies {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    // A worker obeys the policy of its own file.
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    response
}

/// The media type by the file's ending; none for what no page asks for, such as a compressed copy by its own name.
fn content_type(name: &str) -> Option<&'static str> {
    Some(match name.rsplit_once('.')?.1 {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "ttf" => "font/ttf",
        "woff2" => "font/woff2",
        _ => return None,
    })
}

fn entity_tag(file: &EmbeddedFile) -> HeaderValue {
    let hash = u128::from_be_bytes(std::array::from_fn(|place| file.metadata.sha256_hash()[place]));
    HeaderValue::from_str(&format!("\"{hash:032x}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

fn body(file: EmbeddedFile) -> Body {
    Body::from(match file.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn read(response: Response) -> Vec<u8> {
        to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()
    }

    fn header(response: &Response, name: header::HeaderName) -> &str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Holds with and without a console in this build: everything that the page names is there, and nothing else is.
    #[tokio::test]
    async fn the_page_and_all_that_it_loads_are_in_the_binary() {
        let none = HeaderMap::new();
        for secret in ["../index.html", "index.html", "nothing.js", "..%2f..%2fCargo.toml", "no-ending", "x.js.gz"] {
            assert_eq!(asset(Path(secret.to_owned()), none.clone()).await.status(), StatusCode::NOT_FOUND, "{secret}");
        }
        let response = page(&none);
        if Files::get(PAGE).is_none() {
            assert!(String::from_utf8(read(response).await).unwrap().contains("make web"));
            return;
        }
        assert_eq!(header(&response, header::CACHE_CONTROL), "no-cache");
        let tag = HeaderMap::from_iter([(header::IF_NONE_MATCH, response.headers()[header::ETAG].clone())]);
        assert_eq!(page(&tag).status(), StatusCode::NOT_MODIFIED);

        let html = String::from_utf8(read(response).await).unwrap();
        assert!(!html.contains("://"), "an address of another host in {html}");
        assert!(html.split("<script").skip(1).all(|script| script.contains(" src=\"/assets/")), "inline: {html}");
        let named: Vec<&str> = html.split("\"/assets/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(named.len() >= 3, "a script, a style and an icon in {html}");
        let gzip = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, br"))]);
        for name in named {
            let plain = asset(Path(name.to_owned()), none.clone()).await;
            assert_eq!((plain.status(), header(&plain, header::CONTENT_ENCODING)), (StatusCode::OK, ""), "{name}");
            assert!(header(&plain, header::CACHE_CONTROL).ends_with("immutable"), "{name}");
            assert_eq!(header(&plain, header::VARY), "accept-encoding", "{name}");
            let packed = asset(Path(name.to_owned()), gzip.clone()).await;
            assert_eq!(header(&packed, header::CONTENT_ENCODING), "gzip", "{name}");
            assert!(read(packed).await.len() < read(plain).await.len(), "{name}");
        }
    }
}
