//! Reads a request's body, bounded in bytes and in time.
//!
//! The rest of a body over the limit is read and discarded, within the same time and up to a few times the limit. To
//! close a socket with unread bytes resets the connection, and the client would see the reset instead of the response.
//! For a client that sent `Expect: 100-continue` nothing is read: it has not sent the body yet.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    http::{HeaderMap, StatusCode, header},
};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::platform::error::{Code, Error};

/// Most bytes to discard, as a multiple of the limit.
const DISCARD_FACTOR: usize = 8;

/// The response's status and error when the body cannot be read.
pub(super) type Failure = (StatusCode, Error);

/// Reads the whole body: at most `limit` bytes, within `time`.
///
/// # Errors
/// 413 `PAYLOAD_TOO_LARGE`, 408 or 400 `BAD_USER_INPUT`.
pub(super) async fn read(headers: &HeaderMap, body: Body, limit: usize, time: Duration) -> Result<Vec<u8>, Failure> {
    let deadline = Instant::now() + time;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let mut chunks = body.into_data_stream();
    if announced.is_some_and(|length| length > limit) {
        if !headers.contains_key(header::EXPECT) {
            discard(&mut chunks, limit, deadline).await;
        }
        return Err(too_large(limit));
    }
    let mut bytes = Vec::with_capacity(announced.unwrap_or(0));
    loop {
        match timeout_at(deadline, chunks.next()).await {
            Ok(Some(Ok(chunk))) if bytes.len() + chunk.len() > limit => {
                discard(&mut chunks, limit, deadline).await;
                return Err(too_large(limit));
            }
            Ok(Some(Ok(chunk))) => bytes.extend_from_slice(&chunk),
            Ok(Some(Err(_))) => {
                return Err((StatusCode::BAD_REQUEST, Error::new(Code::BadUserInput, "the body broke off")));
            }
            Ok(None) => return Ok(bytes),
            Err(_) => {
                let error = Error::new(Code::BadUserInput, "the body took too long to arrive");
                return Err((StatusCode::REQUEST_TIMEOUT, error));
            }
        }
    }
}

async fn discard(chunks: &mut BodyDataStream, limit: usize, deadline: Instant) {
    let mut left = limit.saturating_mul(DISCARD_FACTOR);
    while let Ok(Some(Ok(chunk))) = timeout_at(deadline, chunks.next()).await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

fn too_large(limit: usize) -> Failure {
    let error = Error::new(Code::PayloadTooLarge, format!("the body is larger than {limit} bytes"));
    (StatusCode::PAYLOAD_TOO_LARGE, error)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::{convert::Infallible, future::pending};

    use futures_util::stream;

    use super::*;

    async fn read_parts(parts: &[&'static str], limit: usize) -> Result<Vec<u8>, StatusCode> {
        let parts: Vec<Result<&'static str, Infallible>> = parts.iter().map(|part| Ok(*part)).collect();
        let body = Body::from_stream(stream::iter(parts));
        read(&HeaderMap::new(), body, limit, Duration::from_secs(5)).await.map_err(|(status, _)| status)
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_whether_announced_or_not() {
        assert_eq!(read_parts(&["abc", "de"], 5).await, Ok(b"abcde".to_vec()));
        assert_eq!(read_parts(&["abc", "def"], 5).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
        let announced = HeaderMap::from_iter([(header::CONTENT_LENGTH, 6.into())]);
        let result = read(&announced, Body::from("abcdef"), 5, Duration::from_secs(5)).await;
        assert_eq!(result.unwrap_err().0, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_body_that_never_ends_times_out() {
        let first = stream::once(async { Ok::<_, Infallible>("a") });
        let body = Body::from_stream(first.chain(stream::once(pending())));
        let result = read(&HeaderMap::new(), body, 5, Duration::from_millis(20)).await;
        assert_eq!(result.unwrap_err().0, StatusCode::REQUEST_TIMEOUT);
    }
}
