//! The console: `GraphiQL` for this server's API, embedded in the binary.
//!
//! `make web` builds `web/` into `web/dist`, and the next compilation embeds that folder. A binary without it serves
//! the plain page of [`page`], which explains how to build the console.
//!
//! ```text
//! /  or  /graphql   index.html        revalidated at each visit, 304 when unchanged (a new binary has new assets)
//! /assets/NAME      all other files   cached for ever, because the name holds the hash of the content
//! ```
//! The page must work without the internet, so it loads nothing from another host and its policy forbids it. Scripts
//! and workers are files of this server. Styles may be inline, because the editor positions its lines by `style`
//! attributes.

use std::borrow::Cow;

use axum::{
    body::{Body, Bytes},
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use rust_embed::{Embed, EmbeddedFile};

use super::{negotiation, page, response};

/// The content of `web/dist` when this binary was compiled; empty where the console was not built.
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

/// The console's page, or the plain page where the console was not built.
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

/// `GET /assets/{name}`. Text files are embedded twice, plain and compressed.
pub(crate) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let path = format!("assets/{name}");
    let (Some(kind), Some(file)) = (content_type(&name), Files::get(&path)) else { return response::not_found() };
    let compressed = Files::get(&format!("{path}.gz"));
    let varies = compressed.is_some();
    // Only a plain `gzip` counts: a client that gives it a quality (`gzip;q=0.1`) gets the plain file.
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
    // A worker is subject to the policy of its own file, not the page's.
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    response
}

/// The media type by the file's extension; `None` for files that pages do not load, such as the compressed copies.
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

    /// Passes with and without a console in this build.
    #[tokio::test]
    async fn every_file_that_the_page_loads_is_embedded_and_no_other_is_served() {
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
