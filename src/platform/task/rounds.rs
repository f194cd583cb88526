//! Work that is done again and again, such as deleting what has become old.

use std::{future::Future, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::platform::error::Result;

/// Runs `round`, and again `pause` after its end, until `stop`. A round that fails is logged as `failure`; the next one
/// tries again.
pub async fn rounds<F>(pause: Duration, stop: CancellationToken, failure: &str, mut round: impl FnMut() -> F)
where
    F: Future<Output = Result<()>>,
{
    loop {
        if let Err(error) = round().await {
            tracing::debug!(error = error.chain(), "{failure}; will retry");
        }
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}
