//! Servers are killed and Postgres is restarted while participants choose, join and recover. What they were answered and
//! told is recorded and checked against each other and against the log.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use switchboard::{demo, platform::unit::UnitOfWork};
use tokio::sync::watch;

use super::{CHANGED, PING, RECOVER, SELECT, STATE, choice, dice::Dice, participant, ping};
use crate::support::{client::Client, cluster::OwnCluster, process::Process, socket::Socket};

const USERS: usize = 6;
/// What happens after so many more responses. Primes, so that no two fall on the same step.
const FAULTS: [(usize, Fault); 6] = [
    (11, Fault::Kill(0)),
    (23, Fault::Postgres),
    (17, Fault::Kill(1)),
    (31, Fault::Kill(0)),
    (13, Fault::Postgres),
    (29, Fault::Kill(1)),
];

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// `kill -9` of one server, then another in its place.
    Kill(usize),
    /// `kill -9` of Postgres, then a start on the same data.
    Postgres,
}

/// An epoch and its provider.
type Epoch = (i64, String);

/// A message of a stream.
#[derive(Debug)]
struct Told {
    version: i64,
    epoch: Epoch,
    /// The present state, and not the next change.
    is_state: bool,
}

/// The servers as their clients know them, and the number of responses.
struct Site {
    servers: [watch::Sender<Client>; 2],
    answers: watch::Sender<usize>,
    /// No more faults are made.
    is_calm: watch::Sender<bool>,
}

impl Site {
    fn client(&self, place: usize) -> Client {
        self.servers[place % 2].borrow().clone()
    }

    /// Runs what must succeed in the end, on one server and then another, as a client that lost the answer does.
    async fn insist(&self, place: &mut usize, token: &str, document: &str, variables: &Value) -> Value {
        loop {
            match self.client(*place).try_run(token, document, variables.clone()).await {
                Ok(mut answer) if answer.code().is_empty() => {
                    self.answers.send_modify(|answers| *answers += 1);
                    let fields = answer.body["data"].as_object_mut().unwrap();
                    return fields.values_mut().next().unwrap().take();
                }
                Ok(answer) => assert_eq!(answer.code(), "UNAVAILABLE", "{answer:?}"),
                Err(_) => *place += 1,
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// One participant's life, until no more faults are made; the epochs of its answers, in order.
    async fn live(&self, number: usize) -> Vec<Epoch> {
        let user = format!("u{number}");
        let (token, mut place, mut dice) = (participant("s", &user), number, Dice(u64::try_from(number).unwrap()));
        let mut known: Epoch = (1, "daily".to_owned());
        let mut answers = Vec::new();
        let epoch_of = |answer: &Value, provider: &str| {
            (answer["epoch"].as_i64().unwrap(), answer[provider].as_str().unwrap().to_owned())
        };
        while !*self.is_calm.borrow() {
            known = match dice.roll(4) {
                0 => epoch_of(&self.insist(&mut place, &token, SELECT, &choice("s", &user, "p2p")).await, "provider"),
                1 => {
                    let input = json!({ "input": { "sessionId": "s", "userId": user, "connectionState": "CONNECTED",
                        "currentProvider": known.1 } });
                    let answer = self.insist(&mut place, &token, STATE, &input).await;
                    epoch_of(&answer["session"], "activeProvider")
                }
                2 => {
                    let epoch = (dice.roll(3) > 0).then_some(known.0);
                    let input = json!({ "input": { "sessionId": "s", "initiatedBy": user,
                        "failedProvider": known.1, "epoch": epoch } });
                    epoch_of(&self.insist(&mut place, &token, RECOVER, &input).await, "newProvider")
                }
                _ => {
                    let _ = self.client(place).try_run(&token, PING, ping("s", &user)).await;
                    continue;
                }
            };
            answers.push(known.clone());
        }
        answers
    }

    /// One participant's stream, resumed after each break, until it has been told of the version `end`.
    async fn listen(&self, number: usize, end: &watch::Receiver<Option<i64>>) -> Vec<Told> {
        let token = participant("s", &format!("u{number}"));
        let (mut told, mut cursor) = (Vec::<Told>::new(), Value::Null);
        let mut place = number;
        let is_over =
            |told: &[Told]| end.borrow().is_some_and(|end| told.last().is_some_and(|last| last.version >= end));
        while !is_over(&told) {
            place += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
            let Some(mut socket) = Socket::try_speaking(self.client(place).address, "graphql-transport-ws").await
            else {
                continue;
            };
            let payload = json!({ "query": CHANGED, "variables": { "id": "s", "after": cursor } });
            let init = json!({ "type": "connection_init", "payload": { "authToken": token } });
            if !socket.try_send(init).await
                || !socket.try_send(json!({ "type": "subscribe", "id": "1", "payload": payload })).await
            {
                continue;
            }
            while let Some(mut message) = socket.try_next().await {
                if message["type"] == "error" {
                    break;
                }
                if message["type"] != "next" {
                    continue;
                }
                let event = message["payload"]["data"]["sessionChanged"].take();
                let record = &event["record"];
                if !record.is_null() {
                    told.push(Told {
                        version: record["version"].as_i64().unwrap(),
                        epoch: (
                            record["epoch"].as_i64().unwrap(),
                            record["activeProvider"].as_str().unwrap().to_owned(),
                        ),
                        is_state: event["operation"] == "SNAPSHOT",
                    });
                }
                cursor = event["cursor"].clone();
                if is_over(&told) {
                    break;
                }
            }
        }
        told
    }
}

/// Makes the faults; the servers that run at the end.
async fn break_things(
    site: &Site,
    cluster: &mut OwnCluster,
    mut running: [Option<Process>; 2],
) -> [Option<Process>; 2] {
    let url = cluster.url();
    let mut answers = site.answers.subscribe();
    for (more, fault) in FAULTS {
        let goal = *answers.borrow_and_update() + more;
        answers.wait_for(|answers| *answers >= goal).await.unwrap();
        match fault {
            Fault::Kill(server) => {
                running[server].take().unwrap().kill().await;
                let again = Process::serve(&url, &[]).await;
                site.servers[server].send_replace(again.client.clone());
                running[server] = Some(again);
            }
            Fault::Postgres => {
                cluster.crash().await;
                cluster.start_again().await;
            }
        }
    }
    running
}

async fn seeded() -> OwnCluster {
    let cluster = OwnCluster::start().await;
    let work = UnitOfWork::detached(sqlx::PgPool::connect_with(cluster.options()).await.unwrap());
    demo::seed(&work).await.unwrap();
    work.close().await;
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_and_restarts_split_no_session_and_hide_no_epoch() {
    let mut cluster = seeded().await;
    let url = cluster.url();
    let (first, second) = tokio::join!(Process::serve(&url, &[]), Process::serve(&url, &[]));
    let token = participant("s", "u0");
    first.client.data(&token, SELECT, choice("s", "u0", "daily")).await;
    let site = Arc::new(Site {
        servers: [watch::Sender::new(first.client.clone()), watch::Sender::new(second.client.clone())],
        answers: watch::Sender::new(0),
        is_calm: watch::Sender::new(false),
    });
    let (end, ends) = watch::channel(None);
    let listeners: Vec<_> = (0..USERS)
        .map(|number| {
            let (site, ends) = (Arc::clone(&site), ends.clone());
            tokio::spawn(async move { site.listen(number, &ends).await })
        })
        .collect();
    let lives: Vec<_> = (0..USERS)
        .map(|number| {
            let site = Arc::clone(&site);
            tokio::spawn(async move { site.live(number).await })
        })
        .collect();
    let running = break_things(&site, &mut cluster, [Some(first), Some(second)]).await;
    site.is_calm.send_replace(true);
    let answers: Vec<Vec<Epoch>> = join_all(lives).await.into_iter().map(Result::unwrap).collect();

    // The last change, which every listener is told of.
    let mut place = 0;
    let last =
        json!({ "input": { "sessionId": "s", "userId": "u0", "connectionState": "ENDED", "currentProvider": "none" } });
    site.insist(&mut place, &token, STATE, &last).await;
    let mut sql = PgConnection::connect_with(&cluster.options()).await.unwrap();
    let version: i32 = sqlx::query_scalar("select version from session_coordination where session_id = 's'")
        .fetch_one(&mut sql)
        .await
        .unwrap();
    end.send_replace(Some(version.into()));
    let told: Vec<Vec<Told>> = join_all(listeners).await.into_iter().map(Result::unwrap).collect();

    // What was committed: versions without holes, epochs that only grow, one provider in each.
    let committed: Vec<(i32, i32, String)> = sqlx::query_as(
        "select version, (payload ->> 'epoch')::integer, payload ->> 'activeProvider'
         from event where subject_type = 'session' and subject_id = 's' order by version",
    )
    .fetch_all(&mut sql)
    .await
    .unwrap();
    assert!(committed.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1 && pair[1].1 - pair[0].1 <= 1), "{committed:?}");
    assert!(committed.is_sorted_by_key(|(_, epoch, _)| *epoch), "{committed:?}");
    let epochs: BTreeSet<Epoch> =
        committed.iter().map(|(_, epoch, provider)| (i64::from(*epoch), provider.clone())).collect();
    let one_each: BTreeMap<i64, &str> = epochs.iter().map(|(epoch, provider)| (*epoch, &**provider)).collect();
    assert_eq!(one_each.len(), epochs.len(), "two providers in one epoch: {epochs:?}");
    assert!(epochs.len() > 3, "something happened: {epochs:?}");
    for answers in &answers {
        assert!(answers.is_sorted_by_key(|(epoch, _)| *epoch), "{answers:?}");
        assert!(answers.iter().all(|answer| epochs.contains(answer)), "{answers:?}");
    }
    for told in &told {
        assert!(told.iter().all(|told| epochs.contains(&told.epoch)), "not committed: {told:?}");
        for pair in told.windows(2) {
            assert!(pair[1].version >= pair[0].version, "{pair:?}");
            // A later state may skip epochs; changes may not.
            assert!(pair[1].is_state || pair[1].epoch.0 - pair[0].epoch.0 <= 1, "an epoch is missing: {pair:?}");
        }
    }
    drop(running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_stale_after_an_outage_of_the_database() {
    let mut cluster = seeded().await;
    let server = Process::serve(&cluster.url(), &["--stale-after", "5s"]).await;
    let client = server.client.clone();
    for user in ["ann", "bob"] {
        super::state(&client, "s", user, "CONNECTED", "none").await;
    }
    cluster.crash().await;
    // Longer than anybody may be silent.
    tokio::time::sleep(Duration::from_secs(7)).await;
    cluster.start_again().await;
    let back = Instant::now();
    let mut sql = PgConnection::connect_with(&cluster.options()).await.unwrap();
    let disconnected = "select array_agg(distinct changed ->> 'userId')
        from event, json_array_elements(payload -> 'changedUsers') as changed where type = 'SessionUsersDisconnected'";
    // Ann is heard again, a while after the outage; Bob never.
    let mut is_heard = false;
    loop {
        let gone: Option<Vec<String>> = sqlx::query_scalar(disconnected).fetch_one(&mut sql).await.unwrap();
        if let Some(gone) = gone {
            assert_eq!(gone, ["bob"], "{:?} after the outage", back.elapsed());
            break;
        }
        assert!(back.elapsed() < Duration::from_secs(20), "nobody watches");
        if back.elapsed() > Duration::from_secs(3) {
            let answer = client.try_run(&participant("s", "ann"), PING, ping("s", "ann")).await.unwrap();
            is_heard |= answer.code().is_empty();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(is_heard);
    assert!(back.elapsed() > Duration::from_secs(4), "his silence counts from the end of the outage");
}
