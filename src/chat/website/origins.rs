//! The origins that the websites list, for CORS. Every request of a web page needs this check, so its results are cached
//! for a short time. A new website's pages may call within seconds, and an unlisted origin costs a query now and then
//! instead of one for each request.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use quick_cache::sync::Cache;
use sqlx::PgPool;

use super::sql;
use crate::platform::{
    db::pool::{LOOKUP_TIME, within},
    error::Result,
    http::OriginPolicy,
};

/// How long a listed origin is cached.
const LISTED_KEPT: Duration = Duration::from_mins(1);
/// How long an unlisted origin is cached: short, because it may be that of a website which is being set up.
const UNLISTED_KEPT: Duration = Duration::from_secs(2);
/// Most cached origins. A client may send any origin, so the least used ones are evicted.
const REMEMBERED: usize = 1_000;
/// Longest origin that is looked up, in bytes. No browser sends a longer one.
const LONGEST: usize = 300;

/// The origins that the websites of all companies list. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WebsiteOrigins {
    pool: PgPool,
    known: Arc<Cache<String, (bool, Instant)>>,
}

impl WebsiteOrigins {
    /// Reads the websites of this database.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, known: Arc::new(Cache::new(REMEMBERED)) }
    }

    /// True if any website lists `origin`, which is in lower case. While the database is away, only cached origins are
    /// true.
    pub async fn list(&self, origin: &str) -> bool {
        let known = self.known.get(origin);
        if let Some((listed, at)) = known
            && at.elapsed() < if listed { LISTED_KEPT } else { UNLISTED_KEPT }
        {
            return listed;
        }
        if origin.len() > LONGEST || !origin.contains("://") {
            return false;
        }
        match self.ask(origin).await {
            Ok(listed) => {
                self.known.insert(origin.to_owned(), (listed, Instant::now()));
                listed
            }
            Err(error) => {
                error.log("website.origins");
                known.is_some_and(|(listed, _)| listed)
            }
        }
    }

    async fn ask(&self, origin: &str) -> Result<bool> {
        within(LOOKUP_TIME, async { sql::allows_origin(&mut *self.pool.acquire().await?, origin).await }).await
    }
}

impl OriginPolicy for WebsiteOrigins {
    fn allows<'a>(&'a self, origin: &'a str) -> BoxFuture<'a, bool> {
        self.list(origin).boxed()
    }
}
