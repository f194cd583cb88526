//! Contenders that take turns, and the table and ratios of their results.

use std::{collections::BTreeMap, time::Instant};

use crate::{
    Arguments, Result,
    database::Database,
    http::{Loop, Requests, drive, repeat},
    pgbench,
    pipelined::{self, Operations},
    process::Server,
    ratio::{Aim, Figure, Ratios, Spread},
    report::{Run, Table, median, ms, us},
    stage::{BASELINE, SWITCHBOARD, Stage},
};

/// Connections of the warm-up.
const WARM_UP_CONNECTIONS: usize = 16;
/// Chats that a turn of [`Work::Offers`] gets for each of its seconds; above any rate measured so far.
const OFFERS_A_SECOND: u32 = 6_000;

/// One row of the tables.
pub(crate) struct Contender<'a> {
    pub(crate) name: &'static str,
    pub(crate) work: Work<'a>,
}

/// What a contender does in its turn.
pub(crate) enum Work<'a> {
    /// Requests without end to a server.
    Requests(&'a Server, Requests),
    /// Requests that each use up a chat, so that every turn gets new chats in this database.
    Offers(&'a Server, &'a Database, Box<dyn Fn(Vec<uuid::Uuid>) -> Requests>),
    /// Each client of a server does the same, as long as the turn lasts.
    Loops(&'a Server, Loop),
    /// Operations without end over sockets, as the bearer of this token.
    Sockets(&'a Server, &'a str, Operations),
    /// A script of `pgbench`.
    Pgbench(&'static str),
}

/// The runs of all contenders of one part, by number of connections and contender, in the order of the rounds.
pub(crate) struct Results {
    title: &'static str,
    connections: Vec<usize>,
    names: Vec<&'static str>,
    runs: BTreeMap<(usize, &'static str), Vec<Run>>,
}

/// Warms every contender up, runs each once in every round, and prints the table.
pub(crate) async fn compete(
    arguments: &Arguments,
    stage: &Stage,
    title: &'static str,
    contenders: &[Contender<'_>],
) -> Result<Results> {
    for contender in contenders {
        eprintln!("load: {title}: {} s of warm-up for {}", arguments.warm, contender.name);
        contender.warm_up(arguments, stage, title).await?;
    }
    let mut results = Results {
        title,
        connections: arguments.connections.clone(),
        names: contenders.iter().map(|contender| contender.name).collect(),
        runs: BTreeMap::new(),
    };
    for round in 1..=arguments.rounds {
        eprintln!("load: {title}: round {round} of {}", arguments.rounds);
        for &connections in &arguments.connections {
            for contender in contenders {
                let turn = format!("{title}-{round}-{connections}-{}-", contender.name);
                let run = contender.run(arguments, stage, &turn, connections).await?;
                results.runs.entry((connections, contender.name)).or_default().extend(run);
            }
        }
    }
    results.print();
    Ok(results)
}

impl Contender<'_> {
    async fn warm_up(&self, arguments: &Arguments, stage: &Stage, title: &str) -> Result<()> {
        match &self.work {
            Work::Requests(server, requests) => {
                drive(server, WARM_UP_CONNECTIONS, arguments.warm_up(), requests).await?;
            }
            Work::Loops(server, each) => {
                repeat(server, WARM_UP_CONNECTIONS, arguments.warm_up(), each).await?;
            }
            Work::Sockets(server, token, operations) => {
                pipelined::drive(server, WARM_UP_CONNECTIONS, arguments.warm_up(), token, operations).await?;
            }
            Work::Offers(..) => {
                let began = Instant::now();
                let mut turn = 0;
                while began.elapsed() < arguments.warm_up() {
                    turn += 1;
                    let prefix = format!("{title}-warm-{turn}-{}-", self.name);
                    self.run(arguments, stage, &prefix, WARM_UP_CONNECTIONS).await?;
                }
            }
            // pgbench measures the database, which the servers have warmed.
            Work::Pgbench(_) => {}
        }
        Ok(())
    }

    /// One turn; `None` where `pgbench` is not installed.
    async fn run(&self, arguments: &Arguments, stage: &Stage, turn: &str, connections: usize) -> Result<Option<Run>> {
        match &self.work {
            Work::Requests(server, requests) => drive(server, connections, arguments.turn(), requests).await.map(Some),
            Work::Offers(server, database, requests) => {
                let chats = database.offer(turn, OFFERS_A_SECOND * arguments.seconds).await?;
                drive(server, connections, arguments.turn(), &requests(chats)).await.map(Some)
            }
            Work::Loops(server, each) => repeat(server, connections, arguments.turn(), each).await.map(Some),
            Work::Sockets(server, token, operations) => {
                pipelined::drive(server, connections, arguments.turn(), token, operations).await.map(Some)
            }
            Work::Pgbench(script) => pgbench::run(stage, script, connections, arguments.seconds).await,
        }
    }
}

impl Results {
    fn print(&self) {
        let mut columns = vec![String::new()];
        for connections in &self.connections {
            columns.extend([format!("{connections}: requests/s"), "p50 / p99 ms".to_owned(), "CPU us".to_owned()]);
        }
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let mut table = Table::new(self.title, &columns);
        for name in &self.names {
            let cells = self.connections.iter().flat_map(|&connections| self.cells(connections, name));
            table.row([(*name).to_owned()].into_iter().chain(cells));
        }
        table.print();
    }

    /// Rate, latency and CPU of the contender's median run.
    fn cells(&self, connections: usize, name: &'static str) -> [String; 3] {
        match median(self.runs(connections, name), |run| run.rate) {
            Some(Run { rate, p50, p99, cpu }) => {
                let latency = if cpu.is_some() { format!("{} / {}", ms(p50), ms(p99)) } else { ms(p50) + " mean" };
                [format!("{rate:.0}"), latency, cpu.map_or("-".to_owned(), us)]
            }
            None => ["-", "-", "-"].map(str::to_owned),
        }
    }

    fn runs(&self, connections: usize, name: &'static str) -> &[Run] {
        self.runs.get(&(connections, name)).map_or(&[], Vec::as_slice)
    }

    /// An empty table of ratios with a column for each number of connections.
    pub(crate) fn ratios(&self) -> Ratios {
        Ratios::new(self.title, self.connections.iter().map(ToString::to_string))
    }

    /// Adds a row: requests a second of one contender over another's.
    pub(crate) fn compare_rates(
        &self,
        ratios: &mut Ratios,
        title: &str,
        (one, other): (&'static str, &'static str),
        aim: Option<Aim>,
    ) {
        ratios.row(title, &self.compare((one, other), |run| run.rate), aim);
    }

    /// Adds the rows that compare this build with the baseline, if there is one.
    pub(crate) fn compare_builds(&self, ratios: &mut Ratios) {
        let builds = (SWITCHBOARD, BASELINE);
        ratios.row("new / old: requests/s", &self.compare(builds, |run| run.rate), None);
        ratios.row("new / old: p99", &self.compare(builds, |run| run.p99.as_secs_f64()), None);
        let cpu = |run: &Run| run.cpu.unwrap_or_default().as_secs_f64();
        ratios.row("new / old: CPU a request", &self.compare(builds, cpu), None);
    }

    fn compare(&self, (one, other): (&'static str, &'static str), value: Figure<Run>) -> Vec<Option<Spread>> {
        let values = |connections, name| self.runs(connections, name).iter().map(value);
        let ratio = |&connections: &usize| Spread::ratio(values(connections, one), values(connections, other));
        self.connections.iter().map(ratio).collect()
    }
}
