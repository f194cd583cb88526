//! How servers recognize API keys, on a real database. Tokens need no database: `src/platform/auth/tests/`.

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::{future::join_all, poll};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, postgres::PgPoolOptions};
use switchboard::{
    platform::{
        auth::{Authenticator, Caller, Credential, Principal, Role},
        clock::Clock,
        config::AuthSettings,
        error::Code,
    },
    tenant::Tenants,
};
use uuid::Uuid;

use crate::support::cluster::TestDatabase;

/// A database with one company and one key of it.
struct Setting {
    database: TestDatabase,
    connection: PgConnection,
    tenants: Tenants,
    company_id: Uuid,
    key_id: Uuid,
    key: String,
}

impl Setting {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        let connection = PgConnection::connect_with(&database.options()).await.unwrap();
        let tenants = Tenants::new(database.work());
        let company_id = tenants.create_company(" Acme ").await.unwrap();
        let (key, text) = tenants.create_api_key(company_id, Role::Service, "dialer").await.unwrap();
        Self { database, connection, tenants, company_id, key_id: key.id, key: text }
    }

    async fn pool(&self, connections: u32) -> PgPool {
        let options = PgPoolOptions::new().max_connections(connections).acquire_timeout(Duration::from_millis(200));
        options.connect_with(self.database.options()).await.unwrap()
    }

    /// A server's authenticator and the pool that it uses.
    async fn server(&self, clock: &Clock, connections: u32) -> (Authenticator, PgPool) {
        let pool = self.pool(connections).await;
        let settings = AuthSettings {
            jwt_secret: None,
            jwks: None,
            jwks_refresh: Duration::from_mins(5),
            jwt_audience: None,
            jwt_issuer: None,
            dev: false,
            consumer_token_ttl: Duration::from_mins(1),
        };
        let secret = Some("not a secret, 32 bytes at least.".to_owned());
        (Authenticator::new(&settings, secret, pool.clone(), clock.clone(), None).await.unwrap(), pool)
    }

    async fn revoke(&mut self) -> bool {
        self.tenants.revoke_api_key(self.company_id, self.key_id).await.unwrap()
    }
}

fn principal(caller: &Caller) -> Arc<Principal> {
    Arc::clone(caller.principal().unwrap())
}

#[track_caller]
fn assert_refused(caller: &Caller, reason: &str) {
    assert!(matches!(caller, Caller::Refused(why) if why == reason), "{caller:?} is not refused as: {reason}");
}

#[tokio::test]
async fn a_key_acts_for_its_company_until_it_is_revoked() {
    let mut setting = Setting::new().await;
    let clock = Clock::default();
    let (authenticator, _) = setting.server(&clock, 4).await;
    let (other_server, _) = setting.server(&clock, 4).await;
    let key = setting.key.clone();

    let service = principal(&authenticator.caller(Some(&key)).await);
    assert_eq!((service.company_id, service.role), (setting.company_id, Role::Service));
    assert_eq!((service.credential, service.expires_at), (Credential::ApiKey(setting.key_id), None));
    principal(&other_server.caller(Some(&key)).await);

    // The wrong secret with the right name, before and after; another company's name for the same key.
    let (_, other_key) = setting.tenants.create_api_key(setting.company_id, Role::Admin, "ops").await.unwrap();
    let mixed = format!("{}{}", &key[..48], &other_key[48..]);
    assert_refused(&authenticator.caller(Some(&mixed)).await, "the API key is not valid");
    assert_eq!(principal(&authenticator.caller(Some(&other_key)).await).role, Role::Admin);
    principal(&authenticator.caller(Some(&key)).await);

    // Its sockets stay open while other keys are revoked, and expire with this one.
    let mut expiry = std::pin::pin!(authenticator.expired(&service));
    assert!(poll!(&mut expiry).is_pending());
    authenticator.forget_keys();
    principal(&authenticator.caller(Some(&key)).await);
    assert!(poll!(&mut expiry).is_pending());
    assert!(setting.revoke().await);
    assert!(!setting.revoke().await, "a second time changes nothing");
    authenticator.forget_keys();
    assert_eq!(within(expiry).await, "API key revoked");
    assert_refused(&authenticator.caller(Some(&key)).await, "the API key was revoked");
    assert_refused(&authenticator.caller(Some(&mixed)).await, "the API key is not valid");

    // A server that missed the revocation notices it within a minute, and closes the sockets too.
    let mut expiry = std::pin::pin!(other_server.expired(&service));
    assert!(poll!(&mut expiry).is_pending());
    principal(&other_server.caller(Some(&key)).await);
    clock.advance(time::Duration::seconds(61));
    assert_eq!(within(expiry).await, "API key revoked");
    assert_refused(&other_server.caller(Some(&key)).await, "the API key was revoked");

    let keys = setting.tenants.api_keys(setting.company_id).await.unwrap();
    let listed: Vec<_> = keys.iter().map(|key| (key.name.as_str(), key.role.as_str(), key.version)).collect();
    assert_eq!(listed, [("dialer", "service", 2), ("ops", "admin", 1)]);
    assert!(keys[0].revoked_at.is_some() && keys[1].revoked_at.is_none());
    let stored = sqlx::query_scalar::<_, String>("select string_agg(api_key::text, ' ') from api_key");
    let stored = stored.fetch_one(&mut setting.connection).await.unwrap();
    assert!(!stored.contains(&key[48..]) && !stored.contains(&key[..48]), "the key itself is not stored");
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap()
}

#[tokio::test]
async fn a_known_key_costs_no_query_and_a_failed_lookup_is_not_cached_for_long() {
    let setting = Setting::new().await;
    let clock = Clock::default();
    let (authenticator, pool) = setting.server(&clock, 1).await;
    principal(&authenticator.caller(Some(&setting.key)).await);

    let only_connection = pool.acquire().await.unwrap();
    principal(&authenticator.caller(Some(&setting.key)).await);
    // An unknown key needs a query, which cannot run: UNAVAILABLE, neither accepted nor refused.
    let (_, second) = setting.tenants.create_api_key(setting.company_id, Role::Service, "2").await.unwrap();
    let caller = authenticator.caller(Some(&second)).await;
    assert_eq!(caller.principal().unwrap_err().code(), Code::Unavailable);
    // A known key is looked up again after a minute.
    clock.advance(time::Duration::seconds(61));
    let caller = authenticator.caller(Some(&setting.key)).await;
    assert_eq!(caller.principal().unwrap_err().code(), Code::Unavailable);

    drop(only_connection);
    clock.advance(time::Duration::seconds(2));
    principal(&authenticator.caller(Some(&setting.key)).await);
    principal(&authenticator.caller(Some(&second)).await);
}

#[tokio::test]
async fn a_row_read_before_a_revocation_is_not_believed_after_it() {
    let mut setting = Setting::new().await;
    let (authenticator, _) = setting.server(&Clock::default(), 8).await;

    // Twenty callers at once share one query, which is held up.
    let mut blocker = PgConnection::connect_with(&setting.database.options()).await.unwrap();
    execute(&mut blocker, "begin; lock table switchboard.api_key").await;
    let callers = {
        let (authenticator, key) = (authenticator.clone(), setting.key.clone());
        tokio::spawn(async move { join_all((0..20).map(|_| authenticator.caller(Some(&key)))).await })
    };
    let waiting = "select count(*) from pg_locks where not granted and relation = 'switchboard.api_key'::regclass";
    let held_up = loop {
        match sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut blocker).await.unwrap() {
            0 => tokio::task::yield_now().await,
            count => break count,
        }
    };
    assert_eq!(held_up, 1);

    // The cache is cleared meanwhile. The twenty callers came before that; later callers read again.
    authenticator.forget_keys();
    execute(&mut blocker, "commit").await;
    assert!(callers.await.unwrap().iter().all(|caller| caller.principal().is_ok()));
    assert!(setting.revoke().await);
    assert_refused(&authenticator.caller(Some(&setting.key)).await, "the API key was revoked");
}

async fn execute(connection: &mut PgConnection, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await.unwrap();
}
