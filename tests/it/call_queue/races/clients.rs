//! Clients of one company that do at random what clients of a queue do.

use std::sync::Mutex;

use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::sync::watch;
use uuid::Uuid;

use crate::support::{client::Client, dice::Dice};

use super::super::{BEGIN, CANCEL, COMPLETE, HANG_UP, INITIATE, LIMIT, RENEW, REPORT};

const ENQUEUE: &str =
    "mutation($input: EnqueueCampaignCallsInput!) { enqueueCampaignCalls(input: $input) { enqueued } }";
const UPDATE: &str = "mutation($input: UpdateCampaignInput!) { updateCampaign(input: $input) { campaign { id } } }";
const CANCEL_ALL: &str =
    "mutation($input: CancelQueuedCallsInput!) { cancelQueuedCalls(input: $input) { canceled alreadyDispatched } }";
const REGISTER: &str = "mutation($input: RegisterCallInput!) { registerCall(input: $input) { call { id } } }";
const WAITING: &str = "query($user: ID!) { callQueueStatus(userId: $user) { directCalls { queued } } }";

/// What a client was told.
#[derive(Debug)]
pub(super) enum Told {
    Started(Uuid),
    Queued(Uuid),
    Canceled(Uuid),
    TooLate(Uuid),
}

/// A company in whose queue clients race.
pub(super) struct Field<'a> {
    pub(super) company: Uuid,
    pub(super) token: String,
    pub(super) users: usize,
    pub(super) campaigns: Vec<String>,
    pub(super) servers: &'a [watch::Receiver<Client>],
    pub(super) sql: &'a PgPool,
    pub(super) told: Mutex<Vec<Told>>,
    pub(super) items: Mutex<Vec<Uuid>>,
}

fn uuid(value: &Value) -> Uuid {
    value.as_str().unwrap().parse().unwrap()
}

impl Field<'_> {
    /// Asks a server that may be killed meanwhile. `None`: an expected refusal, or nobody knows.
    pub(super) async fn ask(&self, client: &Client, document: &str, variables: Value) -> Option<Value> {
        let mut answer = client.try_run(&self.token, document, variables).await.ok()?;
        if !answer.code().is_empty() {
            assert!(["CONFLICT", "NOT_FOUND", "UNAVAILABLE"].contains(&answer.code()), "{document}: {answer:?}");
            return None;
        }
        answer.body["data"].as_object_mut()?.values_mut().next().map(Value::take)
    }

    fn told(&self, told: Told) {
        self.told.lock().unwrap().push(told);
    }

    fn server(&self, dice: &mut Dice) -> Client {
        dice.pick(self.servers).unwrap().borrow().clone()
    }

    /// Calls that have slots, in an order that follows from `salt`.
    pub(super) async fn running(&self, salt: usize, most: i64) -> Vec<Uuid> {
        sqlx::query_scalar(
            "select call_id from switchboard.active_calls where company_id = $1
             order by hashtextextended(call_id::text, $2) limit $3",
        )
        .bind(self.company)
        .bind(i64::try_from(salt).unwrap())
        .bind(most)
        .fetch_all(self.sql)
        .await
        .unwrap()
    }

    /// One client: so many things, one after the other.
    pub(super) async fn client(&self, seed: u64, steps: usize) {
        let mut dice = Dice::new(seed);
        for step in 0..steps {
            self.step(&mut dice, &format!("{seed}/{step}")).await;
        }
    }

    async fn step(&self, dice: &mut Dice, name: &str) {
        let client = self.server(dice);
        let user = format!("user{}", dice.below(self.users));
        match dice.below(24) {
            0..=7 => self.initiate(dice, &client, &user, name).await,
            8..=12 => {
                let Some(call) = self.running(dice.below(1 << 20), 1).await.pop() else { return };
                let reasons = ["COMPLETED", "COMPLETED", "BUSY", "NO_ANSWER", "FAILED", "VOICEMAIL"];
                self.end(&client, call, dice.pick(&reasons).unwrap()).await;
            }
            13 | 14 => {
                let Some(item) = self.item(dice) else { return };
                let told = self.ask(&client, CANCEL, json!({ "id": item })).await;
                match told.as_ref().and_then(|told| told["outcome"].as_str()) {
                    Some("CANCELED") => self.told(Told::Canceled(item)),
                    Some("ALREADY_DISPATCHED") => self.told(Told::TooLate(item)),
                    _ => {}
                }
            }
            15 => {
                let input = json!({ "userId": user, "limit": 1 + dice.below(4) });
                self.ask(&client, LIMIT, json!({ "input": input })).await;
            }
            16 => {
                let input = json!({ "userId": user, "systemLimit": 1 + dice.below(10) });
                self.ask(&client, LIMIT, json!({ "input": input })).await;
            }
            17 | 18 => {
                let contacts: Vec<Value> = (0..=dice.below(6))
                    .map(|contact| json!({ "contactId": format!("{name}/{contact}"), "phoneNumber": "+14155552671" }))
                    .collect();
                let input = json!({ "campaignId": dice.pick(&self.campaigns), "contacts": contacts });
                self.ask(&client, ENQUEUE, json!({ "input": input })).await;
            }
            19 => {
                let status = if dice.below(2) == 0 { "ACTIVE" } else { "PAUSED" };
                let input = json!({ "id": dice.pick(&self.campaigns), "patch": { "status": status } });
                self.ask(&client, UPDATE, json!({ "input": input })).await;
            }
            20 => {
                let Some(call) = self.running(dice.below(1 << 20), 1).await.pop() else { return };
                self.ask(&client, HANG_UP, json!({ "id": call })).await;
            }
            21 => self.dial_in_vain(dice, &client, name).await,
            22 => {
                let calls = self.running(0, 20).await;
                if !calls.is_empty() {
                    self.ask(&client, RENEW, json!({ "ids": calls })).await;
                }
            }
            _ => self.rarely(dice, &client, &user, name).await,
        }
    }

    fn item(&self, dice: &mut Dice) -> Option<Uuid> {
        dice.pick(&self.items.lock().unwrap()).copied()
    }

    /// A direct call; now and then sent to two servers at once with one key.
    async fn initiate(&self, dice: &mut Dice, client: &Client, user: &str, name: &str) {
        let mut input = json!({ "userId": user, "agentId": "agent", "contactId": "c" });
        let answers = if dice.below(4) == 0 {
            input["idempotencyKey"] = json!(name);
            let (input, other) = (json!({ "input": input }), self.server(dice));
            let (one, two) = tokio::join!(self.ask(client, INITIATE, input.clone()), self.ask(&other, INITIATE, input));
            if let (Some(one), Some(two)) = (&one, &two) {
                assert_eq!(one["call"]["id"], two["call"]["id"], "two calls of one key");
            }
            one.or(two)
        } else {
            self.ask(client, INITIATE, json!({ "input": input })).await
        };
        let Some(answer) = answers else { return };
        if answer["admission"] == "STARTED" {
            return self.told(Told::Started(uuid(&answer["call"]["id"])));
        }
        let item = uuid(&answer["queueItem"]["id"]);
        self.items.lock().unwrap().push(item);
        self.told(Told::Queued(item));
    }

    /// Reports the end of a call.
    pub(super) async fn end(&self, client: &Client, call: Uuid, reason: &str) {
        let input = json!({ "callId": call, "status": "ENDED", "endReason": reason });
        self.ask(client, REPORT, json!({ "input": input })).await;
    }

    async fn dial_in_vain(&self, dice: &mut Dice, client: &Client, name: &str) {
        let Some(call) = self.running(dice.below(1 << 20), 1).await.pop() else { return };
        let input = json!({ "callId": call, "kind": "DIAL", "requestId": name, "leaseMs": 1_000 });
        let Some(begun) = self.ask(client, BEGIN, json!({ "input": input })).await else { return };
        if begun["outcome"] == "BEGUN" {
            let operation = &begun["operation"];
            let input = json!({ "operationId": operation["id"], "fencingToken": operation["fencingToken"],
                "succeeded": false });
            self.ask(client, COMPLETE, json!({ "input": input })).await;
        }
    }

    async fn rarely(&self, dice: &mut Dice, client: &Client, user: &str, name: &str) {
        match dice.below(3) {
            0 => {
                let Some(waiting) = self.ask(client, WAITING, json!({ "user": user })).await else { return };
                let input =
                    json!({ "userId": user, "callType": "DIRECT", "expected": waiting["directCalls"]["queued"] });
                self.ask(client, CANCEL_ALL, json!({ "input": input })).await;
            }
            1 => {
                let input = json!({ "callControlId": name, "userId": user, "agentId": "agent" });
                self.ask(client, REGISTER, json!({ "input": input })).await;
            }
            // A caller of SQL takes the same lock.
            _ => {
                let mut transaction = self.sql.begin().await.unwrap();
                sqlx::query("select set_config('switchboard.company_id', $1, true)")
                    .bind(self.company.to_string())
                    .execute(&mut *transaction)
                    .await
                    .unwrap();
                sqlx::query("select * from switchboard.claim_next_calls(5)").execute(&mut *transaction).await.unwrap();
                transaction.commit().await.unwrap();
            }
        }
    }

    /// Ends everything: opens every campaign and ends calls until none is left. `later` moves the clock past the next
    /// retries.
    pub(super) async fn drain(&self, client: &Client, later: impl AsyncFn()) {
        let input = json!({ "userId": "user0", "systemLimit": 10 });
        self.ask(client, LIMIT, json!({ "input": input })).await.unwrap();
        for campaign in &self.campaigns {
            let input = json!({ "id": campaign, "patch": { "status": "ACTIVE" } });
            self.ask(client, UPDATE, json!({ "input": input })).await;
        }
        for _ in 0..2_000 {
            let running = self.running(0, 100).await;
            futures_util::future::join_all(running.iter().map(|call| self.end(client, *call, "COMPLETED"))).await;
            // Of one moment: a retry may come due between two reads.
            let (active, numbered, retries): (i64, i64, i64) = sqlx::query_as(
                "select (select count(*) from switchboard.active_calls where company_id = $1),
                    coalesce(sum(n), 0)::bigint, coalesce(sum(retries), 0)::bigint
                 from switchboard.call_queue_line where company_id = $1",
            )
            .bind(self.company)
            .fetch_one(self.sql)
            .await
            .unwrap();
            if active == 0 && numbered == 0 {
                if retries == 0 {
                    return;
                }
                later().await;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
        panic!("the queue does not end");
    }
}
