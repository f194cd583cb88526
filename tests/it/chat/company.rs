//! A company and two servers on its database, whose verbs are called in this process.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, postgres::PgPoolOptions};
use switchboard::{
    chat::{
        ChatRecord, ChatSettings, Chats, CustomerRequest, NewChat, NewRace, Race,
        contract::{ContractRecord, ContractStatus, NewContract},
        website::NewWebsite,
    },
    platform::{
        auth::{Credential, Principal, Role},
        error::Result,
        event::{Event, LogNotifier, Resumed, Subject, resume_subject},
        timer::TimerWaker,
        unit::UnitOfWork,
    },
    tenant::Tenants,
};
use uuid::Uuid;

use crate::support::cluster::TestDatabase;

/// A company with a website, and two servers on its database.
pub(super) struct Company {
    pub(super) service: Principal,
    pub(super) website_id: Uuid,
    pub(super) pools: [PgPool; 2],
    pub(super) servers: [Chats; 2],
    pub(super) database: TestDatabase,
}

impl Company {
    pub(super) async fn new() -> Self {
        let database = TestDatabase::create().await;
        let company_id = Tenants::new(database.work()).create_company("Acme").await.unwrap();
        let service = Principal {
            company_id,
            role: Role::Service,
            subject: "backend".to_owned(),
            earlier: None,
            website_id: None,
            agent_id: None,
            session_id: None,
            expires_at: None,
            credential: Credential::Token,
        };
        let mut pools = Vec::new();
        for _ in 0..2 {
            let pool = PgPoolOptions::new().max_connections(12).acquire_timeout(Duration::from_secs(30));
            pools.push(pool.connect_with(database.options()).await.unwrap());
        }
        let pools: [PgPool; 2] = pools.try_into().unwrap();
        let settings = ChatSettings {
            race_cap: Duration::from_mins(5),
            race_contracts: 100,
            reoffer_grace: Duration::from_secs(30),
            anonymous_widgets: false,
            guesses_at_once: 100,
            guesses_per_second: 1,
        };
        let server = |pool: &PgPool| {
            let work = UnitOfWork::new(pool.clone().into(), LogNotifier::default(), TimerWaker::default());
            Chats::new(work, settings.clone())
        };
        let servers = [server(&pools[0]), server(&pools[1])];
        let website = servers[0].create_website(&service, &NewWebsite::default()).await.unwrap();
        Self { service, website_id: website.id, pools, servers, database }
    }

    pub(super) async fn sql(&self) -> PgConnection {
        PgConnection::connect_with(&self.database.options()).await.unwrap()
    }

    /// A contract of a new agent.
    pub(super) async fn contract(&self, shift: i32, chat_miss_time: Option<i32>) -> ContractRecord {
        let new = NewContract {
            website_id: self.website_id,
            shift,
            status: ContractStatus::Active,
            name: None,
            color: None,
            rate: None,
            chat_miss_time,
            chat_miss_fee: None,
            agent_id: Some(Uuid::now_v7()),
            agent_name: Some("Ada".to_owned()),
        };
        self.servers[0].create_contract(&self.service, new).await.unwrap()
    }

    pub(super) async fn contracts(&self, count: usize) -> Vec<ContractRecord> {
        let mut contracts = Vec::new();
        for _ in 0..count {
            contracts.push(self.contract(1, None).await);
        }
        contracts
    }

    pub(super) fn agent(&self, agent_id: Option<Uuid>) -> Principal {
        Principal { role: Role::Agent, subject: "agent".to_owned(), agent_id, ..self.service.clone() }
    }

    pub(super) fn visitor(&self, subject: &str) -> Principal {
        let website_id = Some(self.website_id);
        Principal { role: Role::Consumer, subject: subject.to_owned(), website_id, ..self.service.clone() }
    }

    pub(super) async fn offer(&self, who: &Principal, contract: &ContractRecord, key: Uuid) -> Result<ChatRecord> {
        let new = NewChat { contract_id: contract.id, key: Some(key), request: request() };
        self.servers[0].create_chat(who, new).await
    }

    /// A race of these contracts.
    pub(super) async fn race(&self, who: &Principal, contracts: &[ContractRecord]) -> Race {
        let contract_ids = Some(contracts.iter().map(|contract| contract.id).collect());
        self.servers[0].create_race(who, NewRace { contract_ids, ..self.on_shift(Uuid::now_v7()) }).await.unwrap()
    }

    /// A race of the present shift.
    pub(super) fn on_shift(&self, key: Uuid) -> NewRace {
        let website_id = Some(self.website_id);
        NewRace { website_id, shift: None, contract_ids: None, key: Some(key), expires_in: None, request: request() }
    }

    /// The race as the company sees it.
    pub(super) async fn see(&self, key: Uuid) -> Race {
        self.servers[1].race(&self.service, key).await.unwrap().unwrap()
    }

    /// Every event of one subject.
    pub(super) async fn history(&self, kind: &'static str, id: Uuid) -> Vec<Event> {
        let subject = Subject::new(kind, id);
        let read = resume_subject(&mut self.sql().await, self.service.company_id, &subject, 0, 100).await.unwrap();
        let Resumed::Events(events) = read else { panic!("the log has a gap") };
        events
    }

    /// Moves the database's clock.
    pub(super) async fn advance(&self, seconds: i64) {
        self.set_clock(&format!("clock_timestamp() + interval '{seconds} seconds'")).await;
    }

    /// Makes the database's clock show this.
    pub(super) async fn set_clock(&self, expression: &str) {
        let moved = format!(
            "create or replace function switchboard.now() returns timestamptz language sql volatile parallel safe
             return {expression}"
        );
        sqlx::raw_sql(AssertSqlSafe(moved)).execute(&mut self.sql().await).await.unwrap();
    }

    pub(super) async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&mut self.sql().await).await.unwrap()
    }

    /// What must hold of every race and every subject after whatever happened.
    pub(super) async fn check(&self) {
        for (what, query) in [
            (
                "races with more than one winner, or a winner that is not the one started",
                "select count(*) from chat_race as race where
                     (select count(*) from chat where chat.key = race.key and started_at is not null) <> (state = 'WON')::int
                     or exists (select from chat where chat.key = race.key and started_at is not null and id <> winner_id)",
            ),
            (
                "offers that stay out though the race is decided, or a race that waits for nobody",
                "select count(*) from chat_race as race where (state = 'WAITING')
                     <> exists (select from chat where chat.key = race.key and status = 'ACTIVE')",
            ),
            (
                "started chats without their opening message, or with two, or others with one",
                "select count(*) from chat where (started_at is not null)::int
                     <> (select count(*) from chat_message where chat_id = chat.id and opening)
                     or message_count <> (select count(*) from chat_message where chat_id = chat.id)",
            ),
            (
                "subjects whose versions have holes or repeats",
                "select count(*) from (
                     select array_agg(version order by version) as versions from event group by subject_type, subject_id
                 ) as subject where versions <> array(select generate_series(1, cardinality(versions)))",
            ),
            (
                "records that are newer or older than their last event",
                "select count(*) from (
                     select 'chat' as kind, id::text as id, version from chat
                     union all select 'chat_race', key::text, version from chat_race
                     union all select 'contract', id::text, version from contract
                     union all select 'messages', id::text, message_count from chat where message_count > 0
                 ) as record where version is distinct from (
                     select max(version) from event where subject_type = kind and subject_id = record.id)",
            ),
            (
                "timers of what is decided",
                "select count(*) from timer where
                     exists (select from chat where id::text = subject_id and (status <> 'ACTIVE' or missed))
                     or exists (select from chat_race where key::text = subject_id and state <> 'WAITING')",
            ),
            (
                "races that wait without a cap",
                "select count(*) from chat_race where state = 'WAITING'
                     and not exists (select from timer where subject_id = key::text and purpose = 'expire')",
            ),
            (
                "unfinished chats that are not with their contract's agent",
                "select count(*) from chat join contract on contract.id = contract_id
                 where chat.status <> 'FINISHED' and chat.agent_id is distinct from contract.agent_id",
            ),
        ] {
            assert_eq!(self.count(query).await, 0, "{what}");
        }
    }
}

pub(super) fn request() -> CustomerRequest {
    CustomerRequest {
        headline: "My order is late".to_owned(),
        customer_name: "Grace".to_owned(),
        ip_address: Some("192.0.2.7/32".parse().unwrap()),
        created_from: None,
    }
}
