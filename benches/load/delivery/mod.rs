//! From a commit to its subscribers: how long until half, 99 of 100 and the last of them have the message, the
//! server's CPU time for a message, and the memory of an idle subscriber.
//!
//! Beside it stands the limit: a server that sends one text made in advance, woken in the same way by the same commit.
//!
//! A server may build a message once for equal callers. So crowds of 2 to 1,000 are measured twice: all subscribers
//! with one service token, and each with a token of its own. One chat is visible to its visitor, to the users of its
//! agent and to the company's servers. There is only one visitor, so the different callers are users of the agent.

mod turn;

use std::collections::BTreeMap;

use crate::{
    Arguments, Result, plain,
    ratio::{Aim, Figure, Ratios, Spread},
    report::{Table, ms, percentile, us},
    stage::{BASELINE, Build, SWITCHBOARD, Stage},
};

use self::turn::{Found, Subscriber, Turn};

/// Largest crowd that is measured with different callers too.
const MOST_CALLERS: usize = 1_000;
/// Smallest crowd that the aims are about.
const AIMED: usize = 1_000;
/// The limit's name in the tables.
const BROADCAST: &str = "broadcast, text made once";

/// How the subscribers of one turn relate to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Crowd {
    /// One chat, all with the same token.
    Equal,
    /// One chat, each with a token of its own.
    Different,
    /// As many chats as subscribers, all changed by one transaction.
    ManyChats,
}

/// The turns by number of subscribers, crowd and contender, in the order of the rounds.
type Turns = BTreeMap<(usize, Crowd), BTreeMap<&'static str, Vec<Found>>>;

pub(crate) async fn measure(arguments: &Arguments, stage: &Stage) -> Result<()> {
    let most = arguments.subscribers.iter().copied().max().unwrap_or_default();
    let mut turns = Turns::new();
    for &count in &arguments.subscribers {
        for round in 1..=arguments.rounds {
            eprintln!("load: delivery: {count} subscribers, round {round} of {}", arguments.rounds);
            for crowd in crowds(count, most) {
                for build in &stage.builds {
                    let found = own(arguments, stage, build, (count, crowd), round).await?;
                    turns.entry((count, crowd)).or_default().entry(build.name).or_default().push(found);
                }
            }
            let found = broadcast(arguments, stage, count, round).await?;
            turns.entry((count, Crowd::Equal)).or_default().entry(BROADCAST).or_default().push(found);
        }
    }
    print_table(&turns);
    print_ratios(&turns);
    Ok(())
}

fn crowds(count: usize, most: usize) -> Vec<Crowd> {
    let mut crowds = vec![Crowd::Equal];
    if (2..=MOST_CALLERS).contains(&count) {
        crowds.push(Crowd::Different);
    }
    if count == most {
        crowds.push(Crowd::ManyChats);
    }
    crowds
}

impl Crowd {
    fn title(self, count: usize) -> String {
        match self {
            Self::Equal => format!("{count} of one chat"),
            Self::Different => format!("{count} of one chat, different callers"),
            Self::ManyChats => format!("{count} of as many chats"),
        }
    }
}

/// A turn of one build.
async fn own(
    arguments: &Arguments,
    stage: &Stage,
    build: &Build,
    (count, crowd): (usize, Crowd),
    round: u32,
) -> Result<Found> {
    let chats = if crowd == Crowd::ManyChats { count } else { 1 };
    let prefix = format!("delivery-{count}-{crowd:?}-{round}-{}-", build.name);
    let changed = build.database.offer(&prefix, u32::try_from(chats)?).await?;
    let tokens = if crowd == Crowd::Different { stage.agent_tokens(count)? } else { vec![stage.token.clone()] };
    let subscribers = tokens.into_iter().cycle().zip(changed.iter().cycle()).take(count);
    let subscribers = subscribers.map(|(token, chat)| Subscriber::Caller(token, *chat)).collect();
    let turn = Turn { database: &build.database, subscribers, changed, channel: "switchboard_event" };
    turn.run(arguments, build.serve().await?).await
}

/// A turn of the limit.
async fn broadcast(arguments: &Arguments, stage: &Stage, count: usize, round: u32) -> Result<Found> {
    let database = stage.peers();
    let changed = database.offer(&format!("delivery-{count}-{round}-broadcast-"), 1).await?;
    let subscribers = vec![Subscriber::Broadcast; count];
    let turn = Turn { database, subscribers, changed, channel: plain::CHANNEL };
    turn.run(arguments, stage.plain().await?).await
}

fn print_table(turns: &Turns) {
    let columns = ["subscribers", "server", "p50 ms", "p99 ms", "last ms", "CPU us a message", "PSS KiB, idle"];
    let mut table = Table::new("From commit to client", &columns);
    for ((count, crowd), contenders) in turns {
        for name in [SWITCHBOARD, BASELINE, BROADCAST] {
            let Some(rounds) = contenders.get(name) else { continue };
            let found = Found::all(rounds);
            table.row([
                crowd.title(*count),
                name.to_owned(),
                ms(percentile(&found.latencies, 50)),
                ms(percentile(&found.latencies, 99)),
                ms(percentile(&found.last, 50)),
                us(found.cpu),
                format!("{:.1}", found.idle_kib),
            ]);
        }
    }
    table.print();
}

fn print_ratios(turns: &Turns) {
    let mut ratios = Ratios::new("From commit to client", turns.keys().map(|(count, crowd)| crowd.title(*count)));
    let p50 = |found: &Found| percentile(&found.latencies, 50).as_secs_f64();
    let cpu = |found: &Found| found.cpu.as_secs_f64();
    let idle = |found: &Found| found.idle_kib;
    let compared: [(&str, Figure<Found>, f64); 2] = [("p50", p50, 1.5), ("CPU a message", cpu, 2.0)];
    for (title, value, bound) in compared {
        // A broadcast knows no callers, so one turn of it is the limit of every crowd.
        let values = compare(turns, value, |(count, _)| (count, Crowd::Equal), BROADCAST);
        let verdict = Aim::AtMost(bound).verdict(&aimed(turns, &values));
        ratios.row_with_verdict(&format!("{title} / the broadcast's"), &values, verdict);
    }
    for (title, value, _) in compared {
        let values = compare(turns, value, |(count, _)| (count, Crowd::Equal), SWITCHBOARD);
        let different =
            turns.keys().zip(values).map(|((_, crowd), value)| value.filter(|_| *crowd == Crowd::Different));
        ratios.row(&format!("{title}, different / equal callers"), &different.collect::<Vec<_>>(), None);
    }
    let values: Vec<_> = turns.keys().map(|&key| Spread::of(rounds(turns, key, SWITCHBOARD, idle).collect())).collect();
    let verdict = Aim::AtMost(10.0).verdict(&aimed(turns, &values));
    ratios.row_with_verdict("KiB an idle subscriber", &values, verdict);
    let builds: [(&str, Figure<Found>); 3] = [("p50", p50), ("CPU a message", cpu), ("KiB idle", idle)];
    for (title, value) in builds {
        ratios.row(&format!("new / old: {title}"), &compare(turns, value, |key| key, BASELINE), None);
    }
    ratios.print();
}

/// This build's values over those of `other` in the crowd that `beside` names, for each column.
fn compare(
    turns: &Turns,
    value: Figure<Found>,
    beside: impl Fn((usize, Crowd)) -> (usize, Crowd),
    other: &'static str,
) -> Vec<Option<Spread>> {
    let ratio = |&key| Spread::ratio(rounds(turns, key, SWITCHBOARD, value), rounds(turns, beside(key), other, value));
    turns.keys().map(ratio).collect()
}

fn rounds(turns: &Turns, key: (usize, Crowd), name: &'static str, value: Figure<Found>) -> impl Iterator<Item = f64> {
    let found = turns.get(&key).and_then(|contenders| contenders.get(name));
    found.map_or(&[][..], Vec::as_slice).iter().map(value)
}

/// The values that the aims are about: large crowds of equal callers.
fn aimed(turns: &Turns, values: &[Option<Spread>]) -> Vec<Option<Spread>> {
    let aimed = |(count, crowd): &(usize, Crowd)| *count >= AIMED && *crowd == Crowd::Equal;
    turns.keys().zip(values).map(|(key, value)| value.filter(|_| aimed(key))).collect()
}

impl Found {
    /// The results of several rounds in one: all latencies, the means of the rest.
    fn all(rounds: &[Self]) -> Self {
        let count = u32::try_from(rounds.len()).unwrap_or(u32::MAX).max(1);
        let mut all = Self::default();
        for found in rounds {
            all.latencies.extend(&found.latencies);
            all.last.extend(&found.last);
            all.cpu += found.cpu / count;
            all.idle_kib += found.idle_kib / f64::from(count);
        }
        all.latencies.sort_unstable();
        all.last.sort_unstable();
        all
    }
}
