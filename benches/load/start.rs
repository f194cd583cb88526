//! Cold start: from the start of a process to its first response, on a database that exists.

use std::time::{Duration, Instant};

use tokio::process::Command;

use crate::{
    Arguments, Result,
    http::{Client, post},
    process::Server,
    ratio::{Aim, Ratios, Spread},
    report::{Table, ms, percentile},
    stage::Stage,
};

const QUERY: &str = r#"{"query":"{ __typename }"}"#;
/// Starts in each round.
const STARTS: usize = 3;

pub(crate) async fn measure(arguments: &Arguments, stage: &Stage) -> Result<()> {
    let mut builds = vec![Vec::new(); stage.builds.len()];
    let mut postgraphile = Vec::new();
    for _ in 0..arguments.rounds {
        for _ in 0..STARTS {
            for (build, times) in stage.builds.iter().zip(&mut builds) {
                times.push(start(build.serve_command(), &stage.token).await?);
            }
        }
        if let Some(command) = stage.postgraphile_command() {
            postgraphile.push(start(command, "").await?);
        }
    }
    let title = "Start on an existing database to the first response";
    let mut table = Table::new(&format!("{title}, ms"), &["", "median", "worst"]);
    let names = stage.builds.iter().map(|build| build.name).chain(["PostGraphile 5"]);
    for (name, times) in names.zip(builds.iter().chain([&postgraphile])) {
        let mut sorted = times.clone();
        sorted.sort_unstable();
        if let Some(worst) = sorted.last() {
            table.row([name.to_owned(), ms(percentile(&sorted, 50)), ms(*worst)]);
        }
    }
    table.print();
    let seconds = |times: &[Duration]| times.iter().map(Duration::as_secs_f64).collect::<Vec<_>>();
    let mut ratios = Ratios::new(title, ["of all starts".to_owned()]);
    let own = Spread::of(seconds(&builds[0]).into_iter().map(|seconds| seconds * 1e3).collect());
    ratios.row("start, ms", &[own], Some(Aim::AtMost(100.0)));
    if let Some(baseline) = builds.get(1) {
        ratios.row("new / old: start", &[Spread::ratio(seconds(&builds[0]), seconds(baseline))], None);
    }
    ratios.print();
    Ok(())
}

/// One start: the time from spawning the process to its first response.
async fn start(command: Command, token: &str) -> Result<Duration> {
    let began = Instant::now();
    let server = Server::start(command).await?;
    Client::connect(server.address).await?.call(&post("/graphql", token, QUERY)).await?;
    let took = began.elapsed();
    server.stop().await?;
    Ok(took)
}
