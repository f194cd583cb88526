//! The commands of the binary, as they are typed.

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use switchboard::{demo, platform::db::embedded};
use tokio::process::Command;
use uuid::Uuid;

use crate::support::{
    app::TestApp,
    chat::{CREATE_RACE, race_input},
    cluster::scratch,
    process::{Process, complaint, output, printed, switchboard, switchboard_on},
};

#[tokio::test]
async fn schema_prints_what_schema_graphql_holds() {
    let printed = printed(switchboard(&["schema"])).await;
    let kept = include_str!("../../../schema.graphql");
    assert!(printed == kept, "schema.graphql is not current; renew it with: cargo run -- schema > schema.graphql");
}

#[tokio::test]
async fn a_command_whose_output_nobody_reads_to_its_end_succeeds() {
    let program = env!("CARGO_BIN_EXE_switchboard");
    let mut piped = Command::new("bash");
    piped.args(["-o", "pipefail", "-c", &format!("{program} schema | head -n 1")]).kill_on_drop(true);
    assert!(!printed(piped).await.is_empty());
}

#[tokio::test]
async fn seed_prints_the_demo_company_and_is_idempotent() {
    let app = TestApp::new().await;
    for _ in 0..2 {
        let seeded: Value =
            serde_json::from_str(&printed(switchboard_on(&app.database.url(), &["seed", "--json"])).await).unwrap();
        let keys: Vec<_> = seeded.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(HashSet::from_iter(keys), HashSet::from(["companyId", "websiteId", "publicKey", "contracts"]));
        let contracts = seeded["contracts"].as_array().unwrap();
        let sessions: HashSet<i64> = contracts.iter().map(|contract| contract["session"].as_i64().unwrap()).collect();
        assert_eq!(sessions, HashSet::from([1, 2, 3]));
        assert!(contracts.iter().all(|contract| contract["id"].is_string() && contract["agentId"].is_string()));
    }
    let text = printed(switchboard_on(&app.database.url(), &["seed"])).await;
    assert!(text.contains("found") && text.contains(&demo::PUBLIC_KEY.to_string()), "{text}");
}

#[tokio::test]
async fn a_server_accepts_the_companies_and_tokens_that_commands_create() {
    let app = TestApp::new().await;
    let (url, node) = (app.database.url(), app.node().await);
    let made: Value =
        serde_json::from_str(&printed(switchboard_on(&url, &["company", "create", "--name", "Acme"])).await).unwrap();
    let acme = made["id"].as_str().unwrap();
    let website = Uuid::new_v4().to_string();
    for (role, company, more) in [
        ("service", demo::COMPANY_ID.to_string(), vec![]),
        ("admin", demo::COMPANY_ID.to_string(), vec![]),
        ("agent", demo::COMPANY_ID.to_string(), vec![]),
        ("consumer", demo::COMPANY_ID.to_string(), vec!["--subject", "eve"]),
        ("participant", demo::COMPANY_ID.to_string(), vec!["--session", "s-1"]),
        ("service", acme.to_owned(), vec!["--company", acme, "--ttl", "5m"]),
        ("consumer", acme.to_owned(), vec!["--company", acme, "--website", &website]),
    ] {
        let token = printed(switchboard_on(&url, &[vec!["token", "--role", role], more.clone()].concat())).await;
        let viewer = node.data(token.trim(), "{ viewer { id role companyId } }", json!({})).await;
        assert_eq!((&viewer["role"], &viewer["companyId"]), (&json!(role), &json!(company)));
        assert!(!more.contains(&"eve") || viewer["id"] == "eve");
    }
    for (arguments, names) in [
        (&["token", "--role", "participant"][..], "--session"),
        (&["token", "--role", "agent", "--company", acme], "--agent"),
        (&["token", "--role", "consumer", "--company", acme], "--website"),
        (&["token", "--role", "king"], "king"),
        (&["company", "create", "--name", ""], "name"),
    ] {
        let said = complaint(switchboard_on(&url, arguments)).await;
        assert!(said.contains(names), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn sql_role_grants_and_revokes_a_company_of_a_database_role() {
    let app = TestApp::new().await;
    let (url, company) = (app.database.url(), demo::COMPANY_ID.to_string());
    let role = format!("dialer_{}", Uuid::now_v7().simple());
    let mut admin = app.sql().await;
    sqlx::raw_sql(AssertSqlSafe(format!("create role {role} login"))).execute(&mut admin).await.unwrap();
    let named = |verb: &'static str| switchboard_on(&url, &["sql-role", verb, "--role", &role, "--company", &company]);
    assert_eq!(printed(named("grant")).await, "granted\n");
    assert_eq!(printed(named("grant")).await, "granted before\n");
    assert_eq!(printed(named("revoke")).await, "revoked\n");
    assert!(complaint(named("revoke")).await.contains("no such grant"));
    let nobody = ["sql-role", "grant", "--role", "nobody at all", "--company", &company];
    assert!(complaint(switchboard_on(&url, &nobody)).await.contains("no such database role"));
    sqlx::raw_sql(AssertSqlSafe(format!("drop owned by {role}; drop role {role}"))).execute(&mut admin).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_migrations_at_once_of_an_empty_database_all_succeed() {
    let app = TestApp::new().await;
    let name = format!("empty_{}", Uuid::now_v7().simple());
    let mut admin = app.sql().await;
    sqlx::raw_sql(AssertSqlSafe(format!("create database {name}"))).execute(&mut admin).await.unwrap();
    let url = app.database.url();
    let database = app.database.options().get_database().unwrap().to_owned();
    let url = url.replace(&database, &name);
    let ended = join_all((0..20).map(|_| output(switchboard_on(&url, &["migrate"])))).await;
    for output in ended {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let mut connection = PgConnection::connect_with(&app.database.options().database(&name)).await.unwrap();
    let applied: (i64, bool) = sqlx::query_as("select count(*), bool_and(success) from switchboard.migration")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(applied, (i64::try_from(sqlx::migrate!().iter().count()).unwrap(), true));
    connection.close().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("drop database {name} with (force)"))).execute(&mut admin).await.unwrap();
}

/// What a start says about a database that has these migrations beside those of this build, or instead of them.
const OF_ANOTHER_BUILD: [(&str, &str); 2] = [
    (
        "insert into switchboard.migration (version, description, success, checksum, execution_time)
         select 3, 'event', true, checksum, 0 from switchboard.migration where version = 1",
        "migration 3 is not one of this build",
    ),
    (
        "delete from switchboard.migration where version = 3;
         update switchboard.migration set checksum = '\\x00' where version = 1",
        "migration 1 is not one of this build",
    ),
];

#[tokio::test]
async fn a_database_of_another_build_is_refused_with_what_to_do() {
    let app = TestApp::new().await;
    let name = app.database.options().get_database().unwrap().to_owned();
    for (change, reason) in OF_ANOTHER_BUILD {
        sqlx::raw_sql(change).execute(&mut app.sql().await).await.unwrap();
        let said = complaint(switchboard_on(&app.database.url(), &["migrate"])).await;
        assert!(said.contains(&format!("DATABASE_URL: the database {name} was made by another build")), "{said}");
        assert!(said.contains(reason) && said.contains("name an empty database"), "{said}");
    }
}

#[tokio::test]
async fn a_data_directory_of_another_build_is_refused_by_its_name_with_what_to_do() {
    let directory = scratch().await;
    let migrate = || {
        let mut migrate = switchboard(&["migrate"]);
        migrate.env("SWITCHBOARD_DATA_DIR", &directory);
        migrate
    };
    printed(migrate()).await;
    for (change, reason) in OF_ANOTHER_BUILD {
        let embedded = embedded::start(&directory, 5).await.unwrap();
        let mut connection = PgConnection::connect_with(&embedded.options()).await.unwrap();
        sqlx::raw_sql(change).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        embedded.stop().await;
        let said = complaint(migrate()).await;
        assert!(said.contains(&format!("{}: the database in this directory", directory.display())), "{said}");
        assert!(said.contains(reason) && said.contains("delete the directory"), "{said}");
        assert!(directory.join("postgres/data/PG_VERSION").exists(), "nothing is deleted by itself");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_in_development_needs_no_other_setting_and_the_printed_example_works() {
    let directory = scratch().await;
    // No command, no settings but where and the mode: the embedded database, a secret of its own, the demo company.
    let server = Process::serve_embedded(&directory, &["--dev"]).await;
    let said = server.said();
    let begins = said.iter().position(|line| line.trim_start().starts_with("curl ")).expect("a curl to try");
    let ends = said[begins..].iter().position(|line| !line.ends_with('\\')).unwrap();
    let curl = said[begins..=begins + ends].join("\n");
    let run = Command::new("/bin/sh").args(["-c", &curl]).kill_on_drop(true).output().await.unwrap();
    let answer: Value = serde_json::from_slice(&run.stdout).unwrap_or_else(|_| panic!("{curl}: {run:?}"));
    let race = &answer["data"]["createChatRace"]["race"];
    assert_eq!((&race["state"], race["chats"].as_array().map(Vec::len)), (&json!("WAITING"), Some(2)), "{answer}");
    assert!(said.iter().any(|line| line.contains(&*directory.to_string_lossy())), "it says where the data is");

    // A second server on the same data is refused; other commands find the running one.
    let mut second = switchboard(&["serve"]);
    second.env("SWITCHBOARD_DATA_DIR", &directory).env("SWITCHBOARD_LISTEN", "127.0.0.1:0");
    let complaint = complaint(second).await;
    assert!(complaint.contains(&*directory.to_string_lossy()) && complaint.contains("in use"), "{complaint}");
    let mut token = switchboard(&["token", "--role", "service"]);
    token.env("SWITCHBOARD_DATA_DIR", &directory);
    let token = printed(token).await;
    let key = Uuid::new_v4();
    server.client.data(token.trim(), CREATE_RACE, race_input(key)).await;

    // After kill -9 it starts again on the same data, and outside development greets no more.
    server.kill().await;
    let mut again = Process::serve_embedded(&directory, &[]).await;
    let race = again.client.data(token.trim(), CREATE_RACE, race_input(key)).await["race"].take();
    assert_eq!(race["version"], 1, "the race that was there");
    assert!(!again.said().iter().any(|line| line.contains("curl ")), "{:?}", again.said());
    again.signal("INT").await;
    assert_eq!(again.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_outside_development_makes_no_demo_data_and_shows_no_credential() {
    let directory = scratch().await;
    let server = Process::serve_embedded(&directory, &[]).await;
    let said = server.said().join("\n");
    let secret = std::fs::read_to_string(directory.join("jwt-secret")).unwrap();
    for unwanted in ["curl", "eyJ", "Demo", &demo::COMPANY_ID.to_string(), &demo::PUBLIC_KEY.to_string()] {
        assert!(!said.contains(unwanted), "{unwanted}: {said}");
    }
    assert!(!said.contains(secret.trim()), "{said}");
    let answer = server.client.run("", "{ viewer { id } }", json!({})).await;
    assert_eq!((answer.status, answer.code()), (401, "UNAUTHENTICATED"));
    let mut seed = switchboard(&["seed"]);
    seed.env("SWITCHBOARD_DATA_DIR", &directory);
    assert!(printed(seed).await.contains("created"), "the server had made the demo company");
}

#[tokio::test]
async fn issuer_and_audience_are_demanded_and_put_into_printed_tokens() {
    let app = TestApp::new().await;
    let url = app.database.url();
    let realm = [("SWITCHBOARD_JWT_ISSUER", "https://id.example"), ("SWITCHBOARD_JWT_AUDIENCE", "switchboard")];
    let server = Process::serve_in(&url, &realm, &[]).await;
    let print = |environment: &[(&str, &str)]| {
        let mut command = switchboard_on(&url, &["token", "--role", "service"]);
        command.envs(environment.iter().copied());
        printed(command)
    };
    let (named, unnamed) = (print(&realm).await, print(&[]).await);
    server.client.data(named.trim(), "{ viewer { id } }", json!({})).await;
    let answer = server.client.run(unnamed.trim(), "{ viewer { id } }", json!({})).await;
    assert_eq!((answer.status, answer.code()), (401, "UNAUTHENTICATED"), "{answer:?}");
    // Visitors' tokens are the server's own.
    let login = "mutation($key: UUID!) { consumerLogin(input: {publicKey: $key}) { jwtToken } }";
    let login = server.client.data("", login, json!({ "key": demo::PUBLIC_KEY })).await;
    server.client.data(login["jwtToken"].as_str().unwrap(), "{ viewer { id } }", json!({})).await;
}

#[tokio::test]
async fn invalid_settings_are_refused_with_their_names() {
    let app = TestApp::new().await;
    let url = app.database.url();
    let mut without_secret = switchboard_on(&url, &["serve"]);
    without_secret.env_remove("SWITCHBOARD_JWT_SECRET");
    let said = complaint(without_secret).await;
    assert!(said.contains("SWITCHBOARD_JWT_SECRET") && said.contains("SWITCHBOARD_JWKS"), "{said}");
    let mut short = switchboard_on(&url, &["serve"]);
    short.env("SWITCHBOARD_JWT_SECRET", "too short");
    let said = complaint(short).await;
    assert!(said.contains("SWITCHBOARD_JWT_SECRET") && said.contains("32") && !said.contains("too short"), "{said}");
    for (name, value, bounds) in [
        ("SWITCHBOARD_BODY_LIMIT", "1", "1024"),
        ("SWITCHBOARD_RACE_CAP", "0s", "1s"),
        ("SWITCHBOARD_RACE_CAP", "soon", "race-cap"),
        ("SWITCHBOARD_DATABASE_CONNECTIONS", "1", "2"),
        ("SWITCHBOARD_LISTEN", "nowhere", "listen"),
        ("SWITCHBOARD_CONSUMER_TOKEN_TTL", "1s", "1m"),
    ] {
        let mut command = switchboard_on(&url, &["serve"]);
        command.env(name, value);
        let said = complaint(command).await;
        assert!(said.contains(bounds), "{name}={value}: {said}");
    }
    let said = complaint(switchboard_on("postgres://nobody@127.0.0.1:1/none", &["migrate"])).await;
    assert!(said.contains("unavailable") && said.contains("onnection refused"), "{said}");
    let said = complaint(switchboard_on("nonsense", &["serve"])).await;
    assert!(said.contains("DATABASE_URL"), "{said}");
}
