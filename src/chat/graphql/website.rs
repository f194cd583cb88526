//! Websites in the API, and how their visitors log in.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use uuid::Uuid;

use super::{
    ChatContextExt as _,
    contract::{Contract, ContractCondition},
};
use crate::{
    chat::website::{NewWebsite, WebsiteRecord, visitor},
    platform::{auth::Authenticator, error::Result, graphql::context::ContextExt as _, input},
};

/// Where a widget is embedded.
pub struct Website(WebsiteRecord);

#[Object]
impl Website {
    /// The website; claim `user_id` of its visitors' tokens.
    async fn id(&self) -> Uuid {
        self.0.id
    }

    /// For people.
    async fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Shown by the widget.
    async fn logo_url(&self) -> Option<&str> {
        self.0.logo_url.as_deref()
    }

    /// Shown by the widget.
    async fn color(&self) -> Option<&str> {
        self.0.color.as_deref()
    }

    /// Its contracts that the caller may see.
    async fn contracts(&self, context: &Context<'_>, condition: Option<ContractCondition>) -> Result<Vec<Contract>> {
        let condition = condition.unwrap_or_default();
        if condition.website_id.is_some_and(|website| website != self.0.id) {
            return Ok(Vec::new());
        }
        let condition = ContractCondition { website_id: Some(self.0.id), ..condition };
        let contracts = context.chats().contracts(context.principal()?, &condition.into()).await?;
        Ok(contracts.into_iter().map(Contract::from).collect())
    }
}

/// Who logs in.
#[derive(Debug, InputObject)]
pub struct ConsumerLoginInput {
    /// The website's, from its widget's page.
    public_key: Uuid,
}

/// A visitor's token.
#[derive(Debug, SimpleObject)]
pub struct ConsumerLoginPayload {
    /// Claims: `sub` (this visitor), `role` "consumer", `user_id` (the website), `company_id`, `exp`.
    jwt_token: String,
}

/// A website's properties.
#[derive(Debug, InputObject)]
pub struct WebsiteInput {
    /// For people.
    name: Option<String>,
    /// Shown by the widget.
    logo_url: Option<String>,
    /// Shown by the widget.
    color: Option<String>,
    /// Browser origins that may call the API.
    allowed_origins: Option<Vec<String>>,
}

impl WebsiteInput {
    fn checked(self) -> Result<NewWebsite> {
        let origins = self.allowed_origins.unwrap_or_default();
        Ok(NewWebsite {
            name: self.name.map(|name| input::name("website.name", &name)).transpose()?,
            logo_url: self.logo_url.map(|url| input::url("website.logoUrl", &url)).transpose()?,
            color: self.color.map(|color| input::color("website.color", &color)).transpose()?,
            allowed_origins: input::origins("website.allowedOrigins", &origins)?,
        })
    }
}

/// A website to create.
#[derive(Debug, InputObject)]
pub struct CreateWebsiteInput {
    /// Its properties.
    website: WebsiteInput,
}

/// A website that was created.
#[derive(SimpleObject)]
pub struct CreateWebsitePayload {
    /// The website.
    website: Website,
    /// What its widget logs in with.
    public_key: Uuid,
}

/// Queries on websites.
#[derive(Default)]
pub struct WebsiteQuery;

#[Object]
impl WebsiteQuery {
    /// A website: to a visitor its own, to an agent those it has a contract with.
    async fn website(&self, context: &Context<'_>, id: Uuid) -> Result<Option<Website>> {
        Ok(context.chats().website(context.principal()?, id).await?.map(Website))
    }
}

/// Mutations of websites.
#[derive(Default)]
pub struct WebsiteMutation;

#[Object]
impl WebsiteMutation {
    /// A visitor of a website gets its token. Open to anonymous callers, also beside a credential that is not valid. A
    /// visitor with a still valid token of the same website stays who it is.
    async fn consumer_login(&self, context: &Context<'_>, input: ConsumerLoginInput) -> Result<ConsumerLoginPayload> {
        let website = context.chats().website_of_key(input.public_key).await?;
        let visitor = visitor(context.caller(), &website);
        let authenticator = context.data_unchecked::<Authenticator>();
        let jwt_token = authenticator.issue_consumer(website.company_id, website.id, &visitor)?;
        Ok(ConsumerLoginPayload { jwt_token })
    }

    /// Creates a website. For the company's service and admin.
    async fn create_website(&self, context: &Context<'_>, input: CreateWebsiteInput) -> Result<CreateWebsitePayload> {
        let website = context.chats().create_website(context.principal()?, &input.website.checked()?).await?;
        Ok(CreateWebsitePayload { public_key: website.public_key, website: Website(website) })
    }
}
