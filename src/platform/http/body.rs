//! Reads a request's body: at most so many bytes, within so much time.
//!
//! A body over the limit is read on to its end for a while (within the time, and up to a few times the limit) and
//! thrown away: closing a socket with unread bytes in it resets the connection, and the client would see that in
//! place of the answer. A client that asked first (`Expect: 100-continue`) is answered without reading.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    http::{HeaderMap, StatusCode, header},
};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::platform::error::{Code, Error};

/// How much more than the limit is read in order to be rid of it.
const DISCARD_FACTOR: usize = 8;

/// The status and error to answer with when the body cannot be had.
pub(super) type Failure = (StatusCode, Error);

/// The whole body, at most `limit` bytes, read within `time`.
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
    async fn the_limit_is_on_the_whole_body() {
        assert_eq!(read_parts(&["abc", "de"], 5).await, Ok(b"abcde".to_vec()));
        assert_eq!(read_parts(&["abc", "def"], 5).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
        let announced = HeaderMap::from_iter([(header::CONTENT_LENGTH, 6.into())]);
        let answer = read(&announced, Body::from("abcdef"), 5, Duration::from_secs(5)).await;
        assert_eq!(answer.unwrap_err().0, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let first = stream::once(async { Ok::<_, Infallible>("a") });
        let body = Body::from_stream(first.chain(stream::once(pending())));
        let answer = read(&HeaderMap::new(), body, 5, Duration::from_millis(20)).await;
        assert_eq!(answer.unwrap_err().0, StatusCode::REQUEST_TIMEOUT);
    }
}
