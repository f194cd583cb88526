//! Websites: where a widget is embedded, and how its visitors get their token.

mod create;
mod origins;
pub(super) mod sql;
mod visitors;

use uuid::Uuid;

pub use origins::WebsiteOrigins;
pub use visitors::WebsiteVisitors;

/// A site on which the widget is embedded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebsiteRecord {
    /// First part of the key.
    pub company_id: Uuid,
    /// The claim `user_id` of its visitors' tokens.
    pub id: Uuid,
    /// The key with which its widget logs visitors in; unique among all companies.
    pub public_key: Uuid,
    /// A name for people.
    pub name: Option<String>,
    /// The logo that the widget shows.
    pub logo_url: Option<String>,
    /// The color that the widget shows; not interpreted.
    pub color: Option<String>,
}

/// A website to create. Its fields are within their bounds.
#[derive(Debug, Clone, Default)]
pub struct NewWebsite {
    /// A name for people.
    pub name: Option<String>,
    /// The logo that the widget shows.
    pub logo_url: Option<String>,
    /// The color that the widget shows; not interpreted.
    pub color: Option<String>,
    /// The browser origins whose pages may call the API, in lower case.
    pub allowed_origins: Vec<String>,
}
