//! `initiateCall`: calls that get a slot, each ended again, and calls that wait in line.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use serde_json::Value;

use super::{Lines, company, end, fill, initiation};
use crate::{
    Arguments, Result,
    contest::{Contender, Work, compete},
    http::{Client, Loop, Requests},
    ratio::Aim,
    stage::{SWITCHBOARD, Stage},
};

const USERS: u32 = 500;
const PGBENCH: &str = "pgbench, the same statements";
/// The companies that the scripts of `pgbench` name.
const PEERS: &str = "
    insert into switchboard.company (id, name) values ('00000000-0000-7000-8000-0000000000a1', 'Free'),
        ('00000000-0000-7000-8000-0000000000a2', 'Full');
    insert into switchboard.call_slots (company_id, system_limit, active)
    values ('00000000-0000-7000-8000-0000000000a1', 1000, 0), ('00000000-0000-7000-8000-0000000000a2', 1, 1);
";

pub(super) async fn measure(arguments: &Arguments, stage: &Stage) -> Result<()> {
    let build = &stage.builds[0];
    stage.peers().execute(PEERS).await?;
    let server = build.serve().await?;

    let full = company(&build.database, 1).await?;
    fill(&build.database, full, &Lines { users: 1, direct: 1, campaign: 0, limit: 1 }).await?;
    let (token, next) = (stage.token_of(full)?, AtomicU32::new(0));
    let queued: Requests =
        Arc::new(move || Some(initiation(&token, &format!("u{}", next.fetch_add(1, Ordering::Relaxed) % USERS))));
    let contenders = [
        Contender { name: build.name, work: Work::Requests(&server, queued) },
        Contender { name: PGBENCH, work: Work::Pgbench(include_str!("../../queue_wait.sql")) },
    ];
    let results = compete(arguments, stage, "initiateCall, calls that wait in line", &contenders).await?;
    let mut ratios = results.ratios();
    results.compare_rates(&mut ratios, "of pgbench's", (SWITCHBOARD, PGBENCH), Some(Aim::AtLeast(0.5)));
    ratios.print();

    let free = company(&build.database, 1_000).await?;
    let contenders = [
        Contender { name: build.name, work: Work::Loops(&server, pairs(stage.token_of(free)?)) },
        Contender { name: PGBENCH, work: Work::Pgbench(include_str!("../../queue_start.sql")) },
    ];
    let title = "initiateCall, calls that get a slot, each ended again; times of initiateCall";
    let results = compete(arguments, stage, title, &contenders).await?;
    let mut ratios = results.ratios();
    results.compare_rates(&mut ratios, "of pgbench's", (SWITCHBOARD, PGBENCH), Some(Aim::AtLeast(0.5)));
    ratios.print();
    server.stop().await
}

/// Makes a call and ends it, again and again.
fn pairs(token: String) -> Loop {
    let (token, next) = (Arc::new(token), Arc::new(AtomicU32::new(0)));
    Arc::new(move |mut client: Client, until: Instant| {
        let (token, next) = (Arc::clone(&token), Arc::clone(&next));
        Box::pin(async move {
            let mut latencies = Vec::new();
            while Instant::now() < until {
                let user = format!("u{}", next.fetch_add(1, Ordering::Relaxed) % USERS);
                let request = initiation(&token, &user);
                let began = Instant::now();
                let answer = client.call(&request).await?;
                latencies.push(began.elapsed());
                let answer: Value = serde_json::from_slice(answer)?;
                let made = &answer["data"]["initiateCall"];
                let call = made["call"]["id"].as_str().filter(|_| made["admission"] == "STARTED");
                client.call(&end(&token, call.ok_or("a call had to wait")?)).await?;
            }
            Ok(latencies)
        })
    })
}
