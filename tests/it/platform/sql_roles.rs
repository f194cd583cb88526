//! Database roles that call the SQL functions: each for the companies that it was granted, and for nothing else.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};
use switchboard::platform::{db, sql_role, unit::UnitOfWork};
use uuid::Uuid;

use crate::support::cluster::TestDatabase;

/// A role that may log in, of this test only; dropped with the value's [`Role::drop`].
struct Role {
    name: String,
    options: PgConnectOptions,
    admin: PgConnection,
}

impl Role {
    async fn create(database: &TestDatabase) -> Self {
        let name = format!("dialer_{}", Uuid::now_v7().simple());
        let mut admin = PgConnection::connect_with(&database.options()).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!("create role {name} login"))).execute(&mut admin).await.unwrap();
        Self { options: database.options().username(&name), name, admin }
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect_with(&self.options).await.unwrap()
    }

    async fn drop(mut self) {
        let drop = format!("drop owned by {0}; drop role {0}", self.name);
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut self.admin).await.unwrap();
    }
}

async fn company(connection: &mut PgConnection) -> Uuid {
    sqlx::query_scalar("insert into company (id, name) values (gen_random_uuid(), 'Acme') returning id")
        .fetch_one(connection)
        .await
        .unwrap()
}

/// The company that the functions act for when the session has chosen this one.
async fn acts_for(connection: &mut PgConnection, chosen: &str) -> Option<Uuid> {
    sqlx::query("select set_config('switchboard.company_id', $1, false)")
        .bind(chosen)
        .execute(&mut *connection)
        .await
        .unwrap();
    sqlx::query_scalar("select switchboard.sql_company()").fetch_one(connection).await.unwrap()
}

async fn sqlstate(connection: &mut PgConnection, statement: &'static str) -> String {
    let error = sqlx::query(statement).execute(connection).await.unwrap_err();
    error.as_database_error().unwrap_or_else(|| panic!("{error}")).code().unwrap().into_owned()
}

const DENIED: &str = "42501";

#[tokio::test]
async fn the_setting_only_chooses_among_granted_companies() {
    let database = TestDatabase::create().await;
    let work: UnitOfWork = database.work();
    let role = Role::create(&database).await;
    let mut owner = PgConnection::connect_with(&database.options()).await.unwrap();
    let (own, other) = (company(&mut owner).await, company(&mut owner).await);

    let mut dialer = role.connect().await;
    assert_eq!(sqlstate(&mut dialer, "select switchboard.sql_company()").await, DENIED, "before any grant");
    assert!(sql_role::grant(&work, own, &role.name).await.unwrap());
    assert!(!sql_role::grant(&work, own, &role.name).await.unwrap(), "it had it");

    assert_eq!(acts_for(&mut dialer, &own.to_string()).await, Some(own));
    for chosen in [other.to_string(), String::new(), "nonsense".to_owned()] {
        assert_eq!(acts_for(&mut dialer, &chosen).await, None, "{chosen:?}");
        assert_eq!(sqlstate(&mut dialer, "select switchboard.require_sql_company()").await, DENIED);
    }
    // After a local setting the session's reads as an empty text.
    let mut transaction = dialer.begin().await.unwrap();
    sqlx::query("select set_config('switchboard.company_id', $1, true)")
        .bind(own.to_string())
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(sqlstate(&mut dialer, "select switchboard.require_sql_company()").await, DENIED);

    assert_eq!(acts_for(&mut owner, &other.to_string()).await, Some(other), "the owner has every company");
    for forbidden in [
        "select 1 from switchboard.chat",
        "select 1 from switchboard.sql_principal",
        "insert into switchboard.sql_principal (company_id, role) select id, current_user from switchboard.company",
        "select switchboard.grant_sql_functions()",
    ] {
        assert_eq!(sqlstate(&mut dialer, forbidden).await, DENIED, "{forbidden}");
    }

    assert_eq!(acts_for(&mut dialer, &own.to_string()).await, Some(own));
    assert!(sql_role::revoke(&work, own, &role.name).await.unwrap());
    assert!(!sql_role::revoke(&work, own, &role.name).await.unwrap());
    assert_eq!(acts_for(&mut dialer, &own.to_string()).await, None, "from the next call on");
    dialer.close().await.unwrap();
    role.drop().await;
}

#[tokio::test]
async fn a_role_that_may_become_another_does_not_get_its_companies() {
    let database = TestDatabase::create().await;
    let work = database.work();
    let (clerk, boss) = (Role::create(&database).await, Role::create(&database).await);
    let mut owner = PgConnection::connect_with(&database.options()).await.unwrap();
    let own = company(&mut owner).await;
    let member = format!("grant {} to {}", boss.name, clerk.name);
    sqlx::raw_sql(AssertSqlSafe(member)).execute(&mut owner).await.unwrap();
    assert!(sql_role::grant(&work, own, &boss.name).await.unwrap());
    let mut session = clerk.connect().await;
    sqlx::raw_sql(AssertSqlSafe(format!("set role {}", boss.name))).execute(&mut session).await.unwrap();
    assert_eq!(acts_for(&mut session, &own.to_string()).await, None);
    session.close().await.unwrap();
    clerk.drop().await;
    boss.drop().await;
}

#[tokio::test]
async fn unknown_companies_and_roles_are_refused() {
    let database = TestDatabase::create().await;
    let (work, role) = (database.work(), Role::create(&database).await);
    let mut owner = PgConnection::connect_with(&database.options()).await.unwrap();
    let own = company(&mut owner).await;
    let message = |refused: switchboard::platform::error::Error| refused.message().to_owned();
    assert_eq!(message(sql_role::grant(&work, Uuid::now_v7(), &role.name).await.unwrap_err()), "no such company");
    assert_eq!(message(sql_role::grant(&work, own, "nobody; drop").await.unwrap_err()), "no such database role");
    role.drop().await;
}

#[tokio::test]
async fn functions_that_a_migration_adds_are_given_to_the_roles_that_were_granted_before() {
    let database = TestDatabase::create().await;
    let (work, role) = (database.work(), Role::create(&database).await);
    let mut owner = PgConnection::connect_with(&database.options()).await.unwrap();
    let own = company(&mut owner).await;
    sql_role::grant(&work, own, &role.name).await.unwrap();
    sqlx::raw_sql(
        "create function switchboard.added() returns integer language sql security definer return 1;
         revoke execute on function switchboard.added() from public;
         create function switchboard.inner_part() returns integer language sql return 1;
         revoke execute on function switchboard.inner_part() from public;",
    )
    .execute(&mut owner)
    .await
    .unwrap();
    let mut dialer = role.connect().await;
    assert_eq!(sqlstate(&mut dialer, "select switchboard.added()").await, DENIED);
    db::migrate(&database.options(), None).await.unwrap();
    sqlx::query("select switchboard.added()").execute(&mut dialer).await.unwrap();
    assert_eq!(sqlstate(&mut dialer, "select switchboard.inner_part()").await, DENIED);
    dialer.close().await.unwrap();
    role.drop().await;
}
