//! Companies and the management of API keys. How a key is recognized: `platform/auth.rs`.

use switchboard::{
    platform::{auth::Role, error::Code},
    tenant::Tenants,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::support::cluster::TestDatabase;

#[tokio::test]
async fn names_and_roles_are_checked_and_another_companys_keys_are_out_of_reach() {
    let database = TestDatabase::create().await;
    let tenants = Tenants::new(database.work());
    let company_id = tenants.create_company(" Acme ").await.unwrap();
    let (key, _) = tenants.create_api_key(company_id, Role::Service, "dialer").await.unwrap();
    let key_id = key.id;
    for name in ["", "  ", "a\u{0}b", &"é".repeat(201)] {
        assert_eq!(tenants.create_company(name).await.unwrap_err().code(), Code::BadUserInput);
        let key = tenants.create_api_key(company_id, Role::Service, name).await;
        assert_eq!(key.unwrap_err().code(), Code::BadUserInput);
    }
    tenants.create_company(&"é".repeat(200)).await.unwrap();
    for role in [Role::Consumer, Role::Agent, Role::Participant] {
        let key = tenants.create_api_key(company_id, role, "k").await;
        assert_eq!(key.unwrap_err().code(), Code::BadUserInput);
    }
    let nobody = Uuid::now_v7();
    let key = tenants.create_api_key(nobody, Role::Service, "k").await;
    assert_eq!(key.unwrap_err().code(), Code::NotFound);
    assert!(!tenants.revoke_api_key(nobody, key_id).await.unwrap(), "another company's key");
    assert!(tenants.api_keys(nobody).await.unwrap().is_empty());
    let [key] = tenants.api_keys(company_id).await.unwrap().try_into().unwrap();
    assert!(key.revoked_at.is_none() && key.inserted_at <= OffsetDateTime::now_utc());
}
