//! Cold start: from the start of the process to its first answer, on a database that is there.

use std::time::{Duration, Instant};

use tokio::process::Command;

use crate::{
    Arguments, Result,
    http::{Client, post},
    process::Server,
    report::{Table, aim, ms, percentile},
    stage::Stage,
};

const QUERY: &str = r#"{"query":"{ __typename }"}"#;

pub(crate) async fn measure(arguments: &Arguments, stage: &Stage) -> Result<()> {
    let mut table = Table::new("Start on an existing database to the first answer, ms", &["", "median", "worst"]);
    let rounds = arguments.rounds * 3;
    let own = starts(rounds, &stage.token, || stage.switchboard_command()).await?;
    let row = |name: &str, times: &[Duration]| [name.to_owned(), ms(percentile(times, 50)), ms(percentile(times, 100))];
    table.row(row("switchboard", &own));
    if stage.postgraphile_command().is_some() {
        let command = || stage.postgraphile_command().unwrap_or_else(|| Command::new("false"));
        table.row(row("PostGraphile 5", &starts(arguments.rounds, "", command).await?));
    }
    table.print();
    aim("start, ms", percentile(&own, 50).as_secs_f64() * 1e3, 100.0, false);
    Ok(())
}

/// Sorted times of some starts.
async fn starts(rounds: u32, token: &str, command: impl Fn() -> Command) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        let server = Server::start(command()).await?;
        Client::connect(server.address).await?.call(&post("/graphql", token, QUERY)).await?;
        times.push(began.elapsed());
        server.stop().await?;
    }
    times.sort_unstable();
    Ok(times)
}
