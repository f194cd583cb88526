//! Websites: where a widget is embedded, and how its visitors get their token.

mod create;
mod origins;
pub(super) mod sql;

use uuid::Uuid;

pub(super) use create::visitor;
pub use origins::WebsiteOrigins;

/// A website.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebsiteRecord {
    /// The tenant.
    pub company_id: Uuid,
    /// Claim `user_id` of its visitors' tokens.
    pub id: Uuid,
    /// What its widget logs in with.
    pub public_key: Uuid,
    /// For people.
    pub name: Option<String>,
    /// Shown by the widget.
    pub logo_url: Option<String>,
    /// Shown by the widget.
    pub color: Option<String>,
}

/// A website about to be created; its bounds are checked.
#[derive(Debug, Clone, Default)]
pub struct NewWebsite {
    /// For people.
    pub name: Option<String>,
    /// Shown by the widget.
    pub logo_url: Option<String>,
    /// Shown by the widget.
    pub color: Option<String>,
    /// Browser origins that may call the API.
    pub allowed_origins: Vec<String>,
}
