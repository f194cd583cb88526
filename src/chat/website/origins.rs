//! Which web pages the websites list, for CORS. Asked at every call of a page, so answers are kept for a short time:
//! a new website's page may call within seconds, and an origin that nobody lists costs a query now and then, not one
//! for each request.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use quick_cache::sync::Cache;
use sqlx::PgPool;

use super::sql;
use crate::platform::{error::Result, http::OriginPolicy};

/// How long a yes holds.
const LISTED_KEPT: Duration = Duration::from_mins(1);
/// How long a no holds: somebody may be setting up a website.
const UNLISTED_KEPT: Duration = Duration::from_secs(2);
/// Origins that are remembered. Anybody may send any, so the least used are forgotten.
const REMEMBERED: usize = 1_000;
/// No browser sends a longer one.
const LONGEST: usize = 300;

/// The origins that the websites of all companies list. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WebsiteOrigins {
    pool: PgPool,
    known: Arc<Cache<String, (bool, Instant)>>,
}

impl WebsiteOrigins {
    /// Of the websites in this database.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, known: Arc::new(Cache::new(REMEMBERED)) }
    }

    /// Whether any website lists `origin`, given in lower case. While the database is away only what is remembered.
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
        sql::allows_origin(&mut *self.pool.acquire().await?, origin).await
    }
}

impl OriginPolicy for WebsiteOrigins {
    fn allows<'a>(&'a self, origin: &'a str) -> BoxFuture<'a, bool> {
        self.list(origin).boxed()
    }
}
