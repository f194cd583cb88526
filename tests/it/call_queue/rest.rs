//! The façade for older clients: every status and body.

use futures_util::future::{join_all, select_all};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tokio::time::timeout;

use super::{call_of, direct, end, initiate};
use crate::support::{
    app::{Node, TestApp, agent, service, service_of, token},
    chat::other_company,
    event_path::PATIENCE,
    proxy::{Proxy, Road},
};
use switchboard::{demo, platform::auth::token::Claims};

struct Rest {
    http: reqwest::Client,
    base: String,
}

impl Rest {
    async fn post(&self, token: &str, body: &str, key: Option<&str>) -> (u16, Value) {
        let mut request = self.http.post(format!("{}/api/calls/initiate", self.base)).body(body.to_owned());
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let response = request.header("content-type", "application/json").send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn status(&self, token: &str) -> (u16, Value) {
        let mut request = self.http.get(format!("{}/api/calls/queue/status", self.base));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

#[tokio::test]
async fn every_status_and_body() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let rest = Rest { http: reqwest::Client::new(), base: node.url("") };
    let user = token(&Claims::service(demo::COMPANY_ID, "ada"));
    let body = json!({ "agentId": "a1", "phoneNumber": "+14155552671", "contact_name": "Eve" }).to_string();

    let (status, started) = rest.post(&user, &body, Some("k1")).await;
    assert_eq!(status, 201, "{started}");
    let id = started["call"]["id"].clone();
    let call = json!({ "id": id, "execution_id": null, "status": "reserved", "recipient": "+14155552671" });
    assert_eq!(started, json!({ "success": true, "call": call }));
    assert_eq!(rest.post(&user, &body, Some("k1")).await, (201, started));
    let contact = json!({ "agentId": 7, "contactId": "c9" }).to_string();
    let (status, by_contact) = rest.post(&user, &contact, None).await;
    assert_eq!((status, &by_contact["call"]["recipient"]), (201, &json!("c9")));

    let (status, queued) = rest.post(&user, &body, Some("k2")).await;
    assert_eq!(status, 202);
    let queue = json!({ "id": queued["queue"]["id"], "position": 1, "total_in_queue": 1, "estimated_wait": null });
    let reason = "User at concurrency limit - direct call should be queued";
    assert_eq!(queued, json!({ "message": "Call queued successfully", "reason": reason, "queue": queue }));
    let (status, shown) = rest.status(&user).await;
    assert_eq!(status, 200);
    let next = &shown["direct_calls"]["next_call"];
    assert!(next["queued_at"].is_string());
    let next = json!({ "id": queue["id"], "phone_number": "+14155552671", "contact_name": "Eve", "position": 1,
        "queued_at": next["queued_at"] });
    let direct_calls = json!({ "queued": 1, "processing": 2, "total": 3, "next_call": next });
    let campaign_calls = json!({ "queued": 0, "processing": 0, "total": 0 });
    assert_eq!(shown, json!({ "direct_calls": direct_calls, "campaign_calls": campaign_calls }));

    let refusals = [
        (user.as_str(), json!({ "phoneNumber": "+14155552671" }).to_string(), 400, "Agent ID is required"),
        (&user, json!({ "agentId": "" }).to_string(), 400, "Agent ID is required"),
        (&user, json!({ "agentId": "a" }).to_string(), 400, "Either phone number or contact ID is required"),
        (&user, "{".to_owned(), 400, "The body must be a JSON object"),
        (&user, "[]".to_owned(), 400, "The body must be a JSON object"),
    ];
    for (token, body, status, error) in refusals {
        assert_eq!(rest.post(token, &body, None).await, (status, json!({ "error": error })), "{body}");
    }
    let bad = json!({ "agentId": "a", "phoneNumber": "12" }).to_string();
    assert_eq!(rest.post(&user, &bad, None).await.0, 400);
    assert_eq!(rest.post("", &body, None).await.0, 401);
    assert_eq!(rest.post("nonsense", &body, None).await.0, 401);
    let of_agent = agent(uuid::Uuid::nil());
    assert_eq!(rest.post(&of_agent, &body, None).await.0, 403);
    assert_eq!(rest.status(&of_agent).await.0, 403);
    assert_eq!(rest.status("").await.0, 401);
    assert_eq!(rest.post(&user, &contact, Some("k1")).await.0, 409);
    // Another company's user of the same name has nothing to do with it.
    let foreign = token(&Claims::service(other_company(&app).await, "ada"));
    assert_eq!(rest.status(&foreign).await.1["direct_calls"]["total"], 0);
    let _ = service_of(demo::COMPANY_ID);

    // With a few durations known the wait is told in whole minutes.
    for _ in 0..6 {
        let answer = initiate(&node, &service(), direct("other")).await;
        end(&node, &service(), &call_of(&answer)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_requests_at_once_are_429_and_a_full_house_never_is() {
    let app = TestApp::new().await;
    let node = app.node_with(&["--batch-queue", "4"]).await;
    let rest = Rest { http: reqwest::Client::new(), base: node.url("") };
    let user = token(&Claims::service(demo::COMPANY_ID, "ada"));
    let body = json!({ "agentId": "a1", "contactId": "c" }).to_string();
    for full in [201, 201, 202, 202, 202] {
        assert_eq!(rest.post(&user, &body, None).await.0, full);
    }
    // Nobody is decided about while somebody holds the lock; few may wait for that.
    let mut sql = app.sql().await;
    let mut held = sql.begin().await.unwrap();
    sqlx::query("select 1 from switchboard.call_slots for no key update").execute(&mut *held).await.unwrap();
    let mut waiting: Vec<_> = (0..20).map(|_| Box::pin(rest.post(&user, &body, None))).collect();
    for _ in 0..12 {
        let (answer, _, left) = timeout(PATIENCE, select_all(waiting)).await.expect("at once");
        let (status, body) = answer;
        assert_eq!(status, 429, "{body}");
        assert!(body["error"].is_string() && body.as_object().unwrap().len() == 1, "{body}");
        waiting = left;
    }
    held.rollback().await.unwrap();
    let answers = join_all(waiting).await;
    assert!(answers.iter().all(|(status, _)| [202, 429].contains(status)), "{answers:?}");
    assert!(answers.iter().any(|(status, _)| *status == 202), "those that waited are decided");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_database_it_is_503_and_says_no_more() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.database.options()).await;
    let node = Node::start(proxy.options(&app.database.options()), &["--database-acquire-timeout", "500ms"]).await;
    let rest = Rest { http: reqwest::Client::new(), base: node.url("") };
    let user = token(&Claims::service(demo::COMPANY_ID, "ada"));
    let body = json!({ "agentId": "a1", "contactId": "c" }).to_string();
    assert_eq!(rest.post(&user, &body, None).await.0, 201);
    proxy.set(Road::Cut);
    for (status, body) in [rest.post(&user, &body, None).await, rest.status(&user).await] {
        assert_eq!(status, 503, "{body}");
        assert!(body["error"].is_string() && body.as_object().unwrap().len() == 1, "{body}");
        assert!(!body.to_string().contains("sql"), "{body}");
    }
    proxy.set(Road::Pass);
    let recovered = async {
        while rest.post(&user, &body, None).await.0 == 503 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, recovered).await.expect("it works again");
}
