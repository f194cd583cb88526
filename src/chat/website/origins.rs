//! The origins that the websites list, for CORS. Every request of a web page needs this check, so its results are cached
//! for a short time. A new website's pages may call within seconds, and an unlisted origin costs a query now and then
//! instead of one for each request.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use quick_cache::sync::Cache;
use sqlx::PgPool;
use uuid::Uuid;

use super::sql;
use crate::platform::{
    batch::Reads,
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

/// The websites that list an origin, each with its company before it.
type Websites = Arc<[(Uuid, Uuid)]>;

/// The websites that list an origin, and when that was read.
type Known = (Websites, Instant);

/// The origins that the websites of all companies list. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WebsiteOrigins {
    websites: Reads<(), String, Vec<(Uuid, Uuid)>>,
    known: Arc<Cache<String, Known>>,
}

impl WebsiteOrigins {
    /// Reads the websites of this database.
    pub fn new(pool: PgPool) -> Self {
        let websites = Reads::records("website_origin", pool, |connection, (), origins: &[String]| {
            async move {
                let mut found = HashMap::new();
                for origin in origins {
                    found.insert(origin.clone(), sql::websites_of_origin(connection, origin).await?);
                }
                Ok(found)
            }
            .boxed()
        });
        Self { websites, known: Arc::new(Cache::new(REMEMBERED)) }
    }

    /// The websites that list `origin`, which is in lower case. While the database is away, only cached origins have any.
    pub async fn websites_of(&self, origin: &str) -> Websites {
        let known = self.known.get(origin);
        if let Some((websites, at)) = &known
            && at.elapsed() < if websites.is_empty() { UNLISTED_KEPT } else { LISTED_KEPT }
        {
            return Arc::clone(websites);
        }
        if origin.len() > LONGEST || !origin.contains("://") {
            return Arc::default();
        }
        match self.ask(origin).await {
            Ok(websites) => {
                let websites: Websites = websites.into();
                self.known.insert(origin.to_owned(), (Arc::clone(&websites), Instant::now()));
                websites
            }
            Err(error) => {
                error.log("website.origins");
                known.map(|(websites, _)| websites).unwrap_or_default()
            }
        }
    }

    async fn ask(&self, origin: &str) -> Result<Vec<(Uuid, Uuid)>> {
        Ok(within(LOOKUP_TIME, self.websites.get((), origin.to_owned())).await?.unwrap_or_default())
    }
}

impl OriginPolicy for WebsiteOrigins {
    fn companies<'a>(&'a self, origin: &'a str) -> BoxFuture<'a, Arc<[Uuid]>> {
        async move { self.websites_of(origin).await.iter().map(|(company, _)| *company).collect() }.boxed()
    }
}
