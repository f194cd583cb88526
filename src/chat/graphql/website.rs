//! Websites in the API, and how their visitors log in.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use uuid::Uuid;

use super::{
    ChatContextExt as _,
    contract::{self, Contract, ContractCondition},
};
use crate::{
    chat::website::{NewWebsite, WebsiteRecord},
    platform::{
        auth::{Authenticator, Caller},
        error::Result,
        graphql::{context::ContextExt as _, directives},
        input,
    },
};

/// The object `Website` of the schema.
pub struct Website(WebsiteRecord);

/// A website of the company, on which its widget is embedded.
#[Object]
impl Website {
    /// The claim `user_id` of its visitors' tokens.
    async fn id(&self) -> Uuid {
        self.0.id
    }

    /// A name for people.
    async fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// The logo that the widget shows.
    async fn logo_url(&self) -> Option<&str> {
        self.0.logo_url.as_deref()
    }

    /// The color of the widget; the server does not interpret it.
    async fn color(&self) -> Option<&str> {
        self.0.color.as_deref()
    }

    /// The contracts of the website that the caller may see and that match the condition: the newest 1,000, oldest first. A visitor
    /// sees active contracts, and others that it has a chat with.
    #[graphql(
        directive = directives::cost::apply(directives::LIST),
        directive = directives::list_size::apply(contract::SIZE)
    )]
    async fn contracts(&self, context: &Context<'_>, condition: Option<ContractCondition>) -> Result<Vec<Contract>> {
        let condition = condition.unwrap_or_default();
        if condition.website_id.is_some_and(|website| website != self.0.id) {
            return Ok(Vec::new());
        }
        let condition = ContractCondition { website_id: Some(self.0.id), ..condition };
        let reading = context.reading();
        let contracts = match context.caller() {
            Caller::Anonymous => {
                let website = (self.0.company_id, self.0.id);
                context.chats().public_contracts(&reading, website, condition.into()).await?
            }
            caller => context.chats().contracts(&reading, caller.principal()?, condition.into()).await?,
        };
        Ok(contracts.into_iter().map(Contract::from).collect())
    }
}

/// Names the website that a visitor logs in to.
#[derive(Debug, InputObject)]
pub struct ConsumerLoginInput {
    /// The website's public key, as its widget's page contains it.
    public_key: Uuid,
}

/// A visitor's token.
#[derive(Debug, SimpleObject)]
pub struct ConsumerLoginPayload {
    /// Its claims: `sub` (the visitor), `role` "consumer", `user_id` (the website), `company_id`, `exp`.
    jwt_token: String,
}

/// The properties of a website to create.
#[derive(Debug, InputObject)]
pub struct WebsiteInput {
    /// A name for people.
    name: Option<String>,
    /// The logo that the widget shows.
    logo_url: Option<String>,
    /// The color of the widget; the server does not interpret it.
    color: Option<String>,
    /// The browser origins whose pages may call the API, such as `https://shop.example`.
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

/// The input of `createWebsite`.
#[derive(Debug, InputObject)]
pub struct CreateWebsiteInput {
    /// The website to create.
    website: WebsiteInput,
}

/// The result of `createWebsite`.
#[derive(SimpleObject)]
pub struct CreateWebsitePayload {
    /// The new website.
    website: Website,
    /// The key with which its widget logs visitors in.
    public_key: Uuid,
}

/// Queries on websites.
#[derive(Default)]
pub struct WebsiteQuery;

#[Object]
impl WebsiteQuery {
    /// One website. A visitor sees its own, an agent those that it has a contract with; a widget without a token, where it
    /// is allowed, that of its page.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn website(&self, context: &Context<'_>, id: Uuid) -> Result<Option<Website>> {
        let website = match context.caller() {
            caller @ Caller::Anonymous => context.chats().public_website(caller, &context.visit(), id).await?,
            caller => context.chats().website(caller.principal()?, id).await?,
        };
        Ok(website.map(Website))
    }
}

/// Mutations of websites.
#[derive(Default)]
pub struct WebsiteMutation;

#[Object]
impl WebsiteMutation {
    /// Issues a token to a visitor of a website. Works without a credential, and beside an invalid one. A visitor that
    /// calls with a valid token of the same website keeps its identity.
    async fn consumer_login(&self, context: &Context<'_>, input: ConsumerLoginInput) -> Result<ConsumerLoginPayload> {
        let website = context.chats().website_of_key(input.public_key).await?;
        let visitor = context.chats().visitor_of_login(context.caller(), &context.visit(), &website).await?;
        let authenticator = context.data_unchecked::<Authenticator>();
        let jwt_token = authenticator.issue_consumer(website.company_id, website.id, &visitor)?;
        Ok(ConsumerLoginPayload { jwt_token })
    }

    /// Creates a website. Only for the company's service and admin.
    async fn create_website(&self, context: &Context<'_>, input: CreateWebsiteInput) -> Result<CreateWebsitePayload> {
        let website = context.chats().create_website(context.principal()?, &input.website.checked()?).await?;
        Ok(CreateWebsitePayload { public_key: website.public_key, website: Website(website) })
    }
}
