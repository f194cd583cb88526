//! Content negotiation: the request's `Content-Type` and `Accept`, as pure functions.
//!
//! The rules, by RFC 9110 and the GraphQL over HTTP specification:
//!
//! - Without an `Accept`, or with one that cannot be parsed, the response is `application/json`.
//! - Each of the two response types gets the quality of the most specific range that covers it. The higher quality
//!   wins, then the more specific range, then the earlier range; if all are equal (`*/*`), JSON.
//! - If neither type is acceptable, the response is `406`, as JSON.
//! - A request body must be `application/json` in UTF-8. Types that a browser sends across origins without a preflight
//!   (`text/plain`, forms) are refused, so that a foreign website cannot send mutations.

use axum::http::{HeaderMap, HeaderName, header};
use mime::Mime;

use crate::platform::error::{Code, Error, Result};

/// The two media types of a GraphQL response. They differ in the status codes that go with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseType {
    /// `application/json`: the status is 200 for every well-formed request (the exceptions are in `response.rs`).
    Json,
    /// `application/graphql-response+json`: the status is 4xx or 5xx for a request that was not executed.
    GraphqlResponse,
}

impl ResponseType {
    /// The value of the header `Content-Type`.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json; charset=utf-8",
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
        }
    }

    const fn subtype(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::GraphqlResponse => "graphql-response+json",
        }
    }
}

/// The response type that the client prefers; `None` when it accepts neither.
pub(super) fn response_type(headers: &HeaderMap) -> Option<ResponseType> {
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return Some(ResponseType::Json);
    }
    let json = rank(&ranges, "application", ResponseType::Json.subtype());
    let graphql = rank(&ranges, "application", ResponseType::GraphqlResponse.subtype());
    match (json, graphql) {
        (None, None) => None,
        (json, graphql) if graphql > json => Some(ResponseType::GraphqlResponse),
        _ => Some(ResponseType::Json),
    }
}

/// True for a browser that navigates here: it accepts `text/html` by name and prefers neither response type.
pub(super) fn prefers_page(headers: &HeaderMap) -> bool {
    let ranges = ranges(headers);
    let data = [ResponseType::Json, ResponseType::GraphqlResponse];
    let data = data.iter().filter_map(|kind| rank(&ranges, "application", kind.subtype())).max();
    rank(&ranges, "text", "html").is_some_and(|page| page.exactness == 2 && Some(page) > data)
}

/// Checks that the body is JSON in UTF-8, not compressed.
///
/// # Errors
/// `BAD_USER_INPUT`; the status is 415.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<()> {
    let refuse = |why: &str| Err(Error::new(Code::BadUserInput, format!("Content-Type: {why}")));
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return refuse("exactly one is needed, application/json");
    };
    let Some(kind) = value.to_str().ok().and_then(|text| text.parse::<Mime>().ok()) else {
        return refuse("not a media type; send application/json");
    };
    if kind.essence_str() != "application/json" {
        return refuse("only application/json is accepted");
    }
    if !charset_is_utf8(&kind) {
        return refuse("the charset must be utf-8");
    }
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(Error::new(Code::BadUserInput, "Content-Encoding: compressed bodies are not accepted"));
    }
    Ok(())
}

/// The client's preference for one type. Ordered by quality, then exactness, then position in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// In thousandths; 0 means not acceptable.
    quality: u32,
    /// 0 for `*/*`, 1 for `application/*`, 2 for the type itself.
    exactness: u8,
    earliness: std::cmp::Reverse<usize>,
}

struct Range {
    kind: Mime,
    quality: u32,
}

/// The media ranges of all `Accept` headers, in order, without those that cannot be parsed.
fn ranges(headers: &HeaderMap) -> Vec<Range> {
    let texts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(split_list).filter_map(|item| range(item.trim())).collect()
}

fn range(item: &str) -> Option<Range> {
    let kind: Mime = item.parse().ok()?;
    let quality = match kind.get_param("q") {
        None => 1_000,
        Some(text) => thousandths(text.as_str())?,
    };
    Some(Range { kind, quality })
}

/// A quality value of RFC 9110 (`1`, `0.5`, `0.125`; also `.5`, which Java sends), in thousandths.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "" | "0" | "1") || fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let fraction: u32 = format!("{fraction:0<3}").parse().ok()?;
    let value = if whole == "1" { 1_000 + fraction } else { fraction };
    (value <= 1_000).then_some(value)
}

/// Splits at commas outside quotes.
fn split_list(text: &str) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let cut = c == ',' && !quoted;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        cut
    })
    .collect()
}

/// The client's preference for `main/sub`; `None` when it is not acceptable.
fn rank(ranges: &[Range], main: &str, sub: &str) -> Option<Rank> {
    let matching = ranges.iter().enumerate().filter_map(|(place, range)| {
        let kind = &range.kind;
        // `kind.subtype()` omits the suffix after a plus sign.
        let full_sub = kind.essence_str().split_once('/')?.1;
        let exactness = match (kind.type_().as_str(), full_sub) {
            ("*", "*") => 0,
            (m, "*") if m == main => 1,
            (m, s) if m == main && s == sub && charset_is_utf8(kind) => 2,
            _ => return None,
        };
        Some(Rank { quality: range.quality, exactness, earliness: std::cmp::Reverse(place) })
    });
    // The most specific range decides, whatever the qualities of the others.
    matching.max_by_key(|rank| (rank.exactness, rank.earliness)).filter(|rank| rank.quality > 0)
}

fn charset_is_utf8(kind: &Mime) -> bool {
    kind.get_param(mime::CHARSET).is_none_or(|charset| charset.as_str().eq_ignore_ascii_case("utf-8"))
}

/// True when the comma-separated list in header `name` contains `token`, ignoring case.
pub(super) fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let texts = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn accept_decides_the_response_type() {
        use ResponseType::{GraphqlResponse, Json};
        let table: &[(&[&str], Option<ResponseType>)] = &[
            (&[], Some(Json)),
            (&[""], Some(Json)),
            (&["nonsense"], Some(Json)),
            (&["*/*"], Some(Json)),
            (&["application/*"], Some(Json)),
            (&["application/json"], Some(Json)),
            (&["APPLICATION/JSON; charset=UTF-8"], Some(Json)),
            (&["application/graphql-response+json"], Some(GraphqlResponse)),
            (&["application/graphql-response+json;charset=utf-8"], Some(GraphqlResponse)),
            (&["application/graphql-response+json, application/json;q=0.9"], Some(GraphqlResponse)),
            (&["application/graphql-response+json, application/json"], Some(GraphqlResponse)),
            (&["application/json, application/graphql-response+json"], Some(Json)),
            (&["application/json", "application/graphql-response+json;q=0.9"], Some(Json)),
            (&["application/json;q=0.8, application/graphql-response+json;q=.9"], Some(GraphqlResponse)),
            (&["*/*, application/graphql-response+json"], Some(GraphqlResponse)),
            (&["*/*, application/graphql-response+json;q=0.5"], Some(Json)),
            (&["application/json;q=0, */*"], Some(GraphqlResponse)),
            (&["application/json;q=0, application/graphql-response+json;q=0, */*"], None),
            (&["application/json;charset=latin1"], None),
            (&["text/html"], None),
            (&["text/html;x=\"a,application/json\""], None),
            (&["application/*;q=0"], None),
            (&["text/event-stream, multipart/mixed"], None),
        ];
        for (accept, expected) in table {
            assert_eq!(response_type(&headers(header::ACCEPT, accept)), *expected, "{accept:?}");
        }
    }

    #[test]
    fn browsers_prefer_the_page_and_api_clients_do_not() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for (accept, page) in
            [(browser, true), ("*/*", false), ("text/*", false), ("application/json, text/html;q=0.9", false)]
        {
            assert_eq!(prefers_page(&headers(header::ACCEPT, &[accept])), page, "{accept}");
        }
        assert!(!prefers_page(&HeaderMap::new()));
    }

    #[test]
    fn only_uncompressed_json_in_utf8_is_accepted_as_a_body() {
        let table: &[(&[&str], bool)] = &[
            (&["application/json"], true),
            (&["application/json; charset=utf-8"], true),
            (&["Application/JSON;charset=\"UTF-8\""], true),
            (&["application/json; charset=utf-16"], false),
            (&["application/graphql"], false),
            (&["application/json-patch+json"], false),
            (&["text/plain"], false),
            (&["text/plain;a=application/json"], false),
            (&["application/x-www-form-urlencoded"], false),
            (&["multipart/form-data; boundary=x"], false),
            (&["text/plain", "application/json"], false),
            (&["application/json, text/plain"], false),
            (&[""], false),
            (&[], false),
        ];
        for (value, good) in table {
            assert_eq!(check_content_type(&headers(header::CONTENT_TYPE, value)).is_ok(), *good, "{value:?}");
        }
        let mut compressed = headers(header::CONTENT_TYPE, &["application/json"]);
        compressed.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(check_content_type(&compressed).is_err());
    }

    proptest! {
        #[test]
        fn any_header_is_negotiated_without_panic(accept in "[ -~]{0,80}") {
            let _ = response_type(&headers(header::ACCEPT, &[&accept]));
            let _ = prefers_page(&headers(header::ACCEPT, &[&accept]));
            let _ = check_content_type(&headers(header::CONTENT_TYPE, &[&accept]));
        }

        #[test]
        fn the_higher_quality_wins(json in 0_u32..=1000, graphql in 0_u32..=1000) {
            let q = |n: u32| format!("{}.{:03}", n / 1000, n % 1000);
            let accept = format!(
                "application/json;q={}, application/graphql-response+json;q={}", q(json), q(graphql)
            );
            let expected = match (json, graphql) {
                (0, 0) => None,
                (json, graphql) if graphql > json => Some(ResponseType::GraphqlResponse),
                _ => Some(ResponseType::Json),
            };
            prop_assert_eq!(response_type(&headers(header::ACCEPT, &[&accept])), expected);
        }
    }
}
