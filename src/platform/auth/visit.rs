//! What a request or socket shows of its client besides its credential: the web page that sends it, and the key by which
//! the browser names itself.
//!
//! A page that embeds a widget chooses the URLs that the widget calls. So it may add a random key of its own, made once a
//! browser: `/graphql?visitor=KEY`. A widget that loses its token is then still the same visitor. The key is as good as a
//! token, so only its hash is kept, and no layer logs the query of a URL.

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};

use super::Caller;
use crate::platform::error::{Error, Result};

/// The name of the parameter in the query of a URL.
const PARAMETER: &str = "visitor";

/// A browser's key, as its hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VisitorKey([u8; 32]);

impl VisitorKey {
    /// The key in the query of a URL, if there is one.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for a key that is too short to be random, or that no browser would have to escape; the text does
    /// not repeat the key.
    pub fn in_query(query: Option<&str>) -> Result<Option<Self>> {
        let pairs = query.unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let mut keys = pairs.filter(|(name, _)| *name == PARAMETER).map(|(_, key)| key);
        let Some(key) = keys.next() else { return Ok(None) };
        let is_allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
        if keys.next().is_some() || !(32..=128).contains(&key.len()) || !key.bytes().all(is_allowed) {
            return Err(Error::invalid(PARAMETER, "must be one key of 32 to 128 letters, digits, '-' or '_'"));
        }
        Ok(Some(Self(Sha256::digest(key).into())))
    }

    /// SHA-256 of the key.
    pub fn hash(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for VisitorKey {
    /// Leaves out the hash, by which a visitor is found.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VisitorKey")
    }
}

/// The web page that a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageOrigin {
    /// In lower case; `null` for a page without one.
    pub origin: Arc<str>,
    /// True if the settings list the origin: its pages may act for every company.
    pub is_listed: bool,
}

/// What is known of a client besides its credential and its address.
#[derive(Debug, Clone, Default)]
pub struct Visit {
    /// The page; `None` for a program that is no page, and for a page of this server.
    pub page: Option<PageOrigin>,
    /// The key of the browser.
    pub key: Option<VisitorKey>,
}

/// Knows which visitors keys stand for.
pub trait VisitorKeys: Send + Sync + 'static {
    /// The caller that `caller` is in a browser with this key.
    fn caller(&self, key: VisitorKey, caller: Caller) -> BoxFuture<'static, Caller>;
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_long_and_needs_no_escape() {
        let key = |length: usize| "Ab-_9".chars().cycle().take(length).collect::<String>();
        let [short, least, most, long] = [31, 32, 128, 129].map(key);
        for query in ["", "query=x", "visitors=x", "x&y="] {
            assert_eq!(VisitorKey::in_query(Some(query)).unwrap(), None, "{query}");
        }
        assert_eq!(VisitorKey::in_query(None).unwrap(), None);
        let one = VisitorKey::in_query(Some(&format!("visitor={least}"))).unwrap();
        assert!(one.is_some());
        assert_eq!(VisitorKey::in_query(Some(&format!("query=x&visitor={least}&y"))).unwrap(), one);
        assert_ne!(VisitorKey::in_query(Some(&format!("visitor={most}"))).unwrap(), one);
        for wrong in [
            "visitor".to_owned(),
            "visitor=".to_owned(),
            format!("visitor={short}"),
            format!("visitor={long}"),
            format!("visitor={short}%41"),
            format!("visitor={short}+"),
            format!("visitor={least}&visitor={least}"),
        ] {
            assert!(VisitorKey::in_query(Some(&wrong)).is_err(), "{wrong}");
        }
    }
}
