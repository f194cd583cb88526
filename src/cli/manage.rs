//! The commands `seed`, `company`, `token`, `api-key` and `sql-role`.

use std::time::Duration;

use crate::{
    demo,
    platform::{
        auth::{
            Role,
            token::{Claims, Realm, TokenIssuer},
        },
        clock::Clock,
        config::{AuthSettings, DatabaseSettings},
        error::{Error, Result},
        sql_role,
    },
    tenant::Tenants,
};
use clap::{Args, Subcommand};
use uuid::Uuid;

use super::{Database, print_line};

/// Runs `seed`.
pub(super) async fn seed(settings: &DatabaseSettings, json: bool) -> Result<()> {
    let database = Database::open(settings).await?;
    let created = demo::seed(&database.work).await?;
    database.close().await;
    let demo = demo::demo();
    if json {
        print_line(serde_json::to_string(&demo)?);
        return Ok(());
    }
    print_line(format_args!("{} the demo company", if created { "created" } else { "found" }));
    print_line(format_args!(
        "company    {}\nwebsite    {}\npublic key {}",
        demo.company_id, demo.website_id, demo.public_key
    ));
    for contract in demo.contracts {
        print_line(format_args!(
            "contract   {}  agent {}  session {}",
            contract.id, contract.agent_id, contract.session
        ));
    }
    Ok(())
}

#[derive(Debug, Subcommand)]
pub(crate) enum CompanyCommand {
    /// Creates a company and prints its id
    Create {
        /// Name of the company, for people; 1 to 200 characters
        #[arg(long)]
        name: String,
        #[command(flatten)]
        database: DatabaseSettings,
    },
}

impl CompanyCommand {
    pub(super) async fn run(self) -> Result<()> {
        let Self::Create { name, database } = self;
        let database = Database::open(&database).await?;
        let created = Tenants::new(database.work.clone()).create_company(&name).await;
        database.close().await;
        print_line(serde_json::json!({ "id": created? }));
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(crate) struct TokenCommand {
    /// Role of the bearer
    #[arg(long, value_enum)]
    role: Role,
    /// Id of the company [default: the demo company]
    #[arg(long, default_value_t = demo::COMPANY_ID, hide_default_value = true)]
    company: Uuid,
    /// Id of the agent, for the role agent [default: the demo company's first]
    #[arg(long)]
    agent: Option<Uuid>,
    /// Id of the website, for the role consumer [default: the demo company's]
    #[arg(long)]
    website: Option<Uuid>,
    /// Id of the session, for the role participant
    #[arg(long)]
    session: Option<String>,
    /// Subject of the token [default: a new id]
    #[arg(long)]
    subject: Option<String>,
    /// Lifetime of the token
    #[arg(long, default_value = "24h", value_parser = humantime::parse_duration)]
    ttl: Duration,
    #[command(flatten)]
    auth: AuthSettings,
    #[command(flatten)]
    database: DatabaseSettings,
}

impl TokenCommand {
    pub(super) fn run(self) -> Result<()> {
        let secret = super::secret(&self.database, &self.auth)?
            .ok_or_else(|| Error::invalid("SWITCHBOARD_JWT_SECRET", "needed to sign a token"))?;
        let of_demo = |id| (self.company == demo::COMPANY_ID).then_some(id);
        let missing = |option: &str| Error::invalid(option, "needed for this role");
        let claims = Claims {
            role: self.role,
            company_id: self.company,
            sub: Some(self.subject.unwrap_or_else(|| crate::platform::clock::new_id().to_string())),
            website_id: match self.role {
                Role::Consumer => {
                    Some(self.website.or_else(|| of_demo(demo::WEBSITE_ID)).ok_or_else(|| missing("--website"))?)
                }
                _ => None,
            },
            agent_id: match self.role {
                Role::Agent => {
                    Some(self.agent.or_else(|| of_demo(demo::AGENTS[0].1)).ok_or_else(|| missing("--agent"))?)
                }
                _ => None,
            },
            session_id: match self.role {
                Role::Participant => Some(self.session.ok_or_else(|| missing("--session"))?),
                _ => None,
            },
        };
        let issuer = TokenIssuer::new(&secret, Clock::default())?.with_realm(Realm::from(&self.auth));
        print_line(issuer.issue(&claims, self.ttl)?);
        Ok(())
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApiKeyCommand {
    /// Creates a key and prints it; it cannot be printed again
    Create {
        /// Id of the company
        #[arg(long)]
        company: Uuid,
        /// Role of the bearer: service or admin
        #[arg(long, value_enum)]
        role: Role,
        /// Name of the key, for people
        #[arg(long, default_value = "unnamed")]
        name: String,
        #[command(flatten)]
        database: DatabaseSettings,
    },
    /// Lists a company's keys
    List {
        /// Id of the company
        #[arg(long)]
        company: Uuid,
        #[command(flatten)]
        database: DatabaseSettings,
    },
    /// Revokes a key; sockets opened with it are closed
    Revoke {
        /// Id of the company
        #[arg(long)]
        company: Uuid,
        /// Id of the key, as listed
        #[arg(long)]
        id: Uuid,
        #[command(flatten)]
        database: DatabaseSettings,
    },
}

impl ApiKeyCommand {
    pub(super) async fn run(self) -> Result<()> {
        let (Self::Create { database, .. } | Self::List { database, .. } | Self::Revoke { database, .. }) = &self;
        let database = Database::open(database).await?;
        let done = self.run_on(&database).await;
        database.close().await;
        done
    }

    async fn run_on(&self, database: &Database) -> Result<()> {
        let tenants = Tenants::new(database.work.clone());
        match self {
            Self::Create { company, role, name, .. } => {
                let (key, text) = tenants.create_api_key(*company, *role, name).await?;
                print_line(serde_json::json!({ "id": key.id, "key": text }));
            }
            Self::List { company, .. } => {
                for key in tenants.api_keys(*company).await? {
                    let state = if key.revoked_at.is_some() { "revoked" } else { "valid" };
                    print_line(format_args!("{}  {:7}  {state:7}  {}", key.id, key.role, key.name));
                }
            }
            Self::Revoke { company, id, .. } => {
                if !tenants.revoke_api_key(*company, *id).await? {
                    return Err(Error::not_found("API key that is still valid"));
                }
                print_line("revoked");
            }
        }
        Ok(())
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum SqlRoleCommand {
    /// Lets a database role call the SQL functions for a company
    Grant {
        /// Name of the database role
        #[arg(long)]
        role: String,
        /// Id of the company
        #[arg(long)]
        company: Uuid,
        #[command(flatten)]
        database: DatabaseSettings,
    },
    /// Takes a company from a database role
    Revoke {
        /// Name of the database role
        #[arg(long)]
        role: String,
        /// Id of the company
        #[arg(long)]
        company: Uuid,
        #[command(flatten)]
        database: DatabaseSettings,
    },
}

impl SqlRoleCommand {
    pub(super) async fn run(self) -> Result<()> {
        let (Self::Grant { database, .. } | Self::Revoke { database, .. }) = &self;
        let database = Database::open(database).await?;
        let done = self.run_on(&database).await;
        database.close().await;
        done
    }

    async fn run_on(&self, database: &Database) -> Result<()> {
        match self {
            Self::Grant { role, company, .. } => {
                let is_new = sql_role::grant(&database.work, *company, role).await?;
                print_line(if is_new { "granted" } else { "granted before" });
            }
            Self::Revoke { role, company, .. } => {
                if !sql_role::revoke(&database.work, *company, role).await? {
                    return Err(Error::not_found("grant of this company to this role"));
                }
                print_line("revoked");
            }
        }
        Ok(())
    }
}
