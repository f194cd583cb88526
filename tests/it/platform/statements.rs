//! The statements can be spread over a distributed Postgres by company: what it cannot plan is refused here.
//!
//! Read from the descriptions of all checked statements (`.sqlx/`), so that none is forgotten.

use std::collections::BTreeSet;

use crate::support::{
    cluster::TestDatabase,
    statements::{self, Statement},
};

/// Statements on companies' tables that name no company, each by a piece of its text, and why that has to be.
const KNOWN: [(&str, &str); 26] = [
    ("where owner.may_dispatch", "a sweep looks for companies in which a call may be dispatched"),
    (
        "join call_slots as slots on slots.settings",
        "a sweep looks for companies that settings of another time hold for",
    ),
    ("not exists ( select 1 from call_queue_sample", "a task looks for the companies of which no sample was taken"),
    ("cross join call_slots as slots left join lateral ( select sample.direct", "gauges are of all companies"),
    ("delete from call_queue_sample", "old samples are deleted whosever they are"),
    ("where public_key = any($1)", "a visitor logs in by the website's public key and belongs to no company yet"),
    ("allowed_origins @>", "a browser asks by its page's origin before any request names a company"),
    (
        "select id, company_id, website_id from contract where id = asked.id",
        "a caller without a token proves itself by a contract's id",
    ),
    ("with newest as ( select xid", "the end of the log is of all companies"),
    ("from event where xid = $1::text::xid8", "a cursor names an event of any company"),
    ("where chat.id = any($1)", "a caller without a token proves itself by a chat's id"),
    ("moment.now as \"now!\", due.company_id", "a scheduler looks for the due timers of all companies"),
    ("select min(next.due_at)", "a scheduler sleeps until the next timer of any company"),
    ("from event where event.xid > $1", "the reader of the log reads every company's events"),
    ("from event where xid > $1", "the reader of the log asks how far behind it is"),
    ("lock table only event", "the log's partitions are of all companies"),
    ("resumed as materialized (", "when service resumes, the timers of all companies are put off"),
    ("for update skip locked ) delete from idempotency_key", "old keys are deleted whoever made them"),
    ("delete from call_news using old", "parked news is forgotten whosever it was"),
    ("delete from operation_request", "finished requests are forgotten whosever they were"),
    ("set_config('switchboard.company_id', $1, true)", "a function for SQL callers finds the company in this setting"),
    ("insert into company (id", "the company itself: its id is the key"),
    ("from visitor_key where hash = asked.hash", "a visitor's key proves who it is on any website"),
    ("logo_url, color from website where id = any($1)", "a caller without a token names a website by its id"),
    ("delete from stream_bookmark", "the places of streams that nobody opens again are forgotten whosever they were"),
    ("from company where id = $1", "the company itself: its id is the key"),
];

/// Statements that insert in a CTE, which a distributed Postgres plans recursively. Each begins its list of CTEs so.
const INSERTS_IN_CTES: [&str; 6] = [
    // Sets timers and appends events, at the end of a unit of work.
    "with timer_found as materialized",
    // Stamps the row of a server that lives.
    "with moment as materialized ( select switchboard.now() as now, switchboard.now() - make_interval",
    // Writes decided races: those that are new, those that exist.
    "with race as ( select * from unnest($2",
    // Writes lines of coordinated calls.
    "with decided as ( select * from unnest($2",
    // Writes transcripts.
    "with held_call as materialized",
    // Writes messages.
    "with held_chat as materialized",
];

/// True if the statement reads or writes this table.
fn is_on(statement: &str, table: &str) -> bool {
    ["from", "join", "into", "update", "using", "table only"].iter().any(|verb| {
        let named = format!(" {verb} {table}");
        let padded = format!(" {statement} ");
        padded.match_indices(&named).any(|(place, _)| {
            padded[place + named.len()..].starts_with(|next: char| next != '_' && !next.is_alphanumeric())
        })
    })
}

/// The statement without its CTE "moment".
fn without_moment(statement: &str) -> String {
    let Some(begin) = statement.find("moment as materialized ( select switchboard.now()") else {
        return statement.to_owned();
    };
    let rest = &statement[begin..];
    format!("{}{}", &statement[..begin], &rest[rest.find(" ), ").unwrap_or(rest.len())..])
}

#[tokio::test]
async fn every_statement_on_a_companys_table_names_the_company() {
    let database = TestDatabase::create().await;
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect_with(&database.options()).await.unwrap();
    let mut tables: Vec<String> = sqlx::query_scalar(
        "select table_name::text from information_schema.columns
         where table_schema = 'switchboard' and column_name = 'company_id' and table_name !~ '^event_[0-9]'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(tables.contains(&"chat".to_owned()) && tables.contains(&"lease".to_owned()), "{tables:?}");
    tables.push("company".to_owned());
    let (mut used, mut unknown) = (BTreeSet::new(), Vec::new());
    for Statement { text: statement, .. } in statements::all() {
        if !tables.iter().any(|table| is_on(&statement, table)) {
            continue;
        }
        // As a condition, or as the first column of an insert.
        let names_company = statement.contains("company_id = ") || statement.contains("(company_id, ");
        let known = KNOWN.iter().find(|(piece, _)| statement.contains(piece));
        used.extend(known.map(|(piece, _)| *piece));
        if !names_company && known.is_none() {
            unknown.push(statement);
        }
    }
    assert!(unknown.is_empty(), "these statements name no company:\n{}", unknown.join("\n\n"));
    for (piece, why) in KNOWN {
        assert!(used.contains(piece), "no statement any more has: {piece} ({why})");
    }
}

#[test]
fn the_clock_is_read_in_a_cte_of_its_own_or_as_a_value() {
    let mut wrong = Vec::new();
    for Statement { text: statement, .. } in statements::all() {
        let rest = without_moment(&statement);
        let is_inside = |begin: &str, end: &str| {
            rest.match_indices(begin).any(|(place, _)| {
                let inside = &rest[place..];
                inside[..inside.find(end).unwrap_or(inside.len())].contains("switchboard.now()")
            })
        };
        let is_changing = rest.contains("update ") || rest.contains("insert into ");
        if is_changing && rest.contains("switchboard.now()")
            || is_inside("case ", " end")
            || is_inside("coalesce(", ",")
        {
            wrong.push(statement);
        }
    }
    assert!(wrong.is_empty(), "switchboard.now() belongs into a CTE \"moment\":\n{}", wrong.join("\n\n"));
}

#[test]
fn exists_selects_1() {
    for Statement { text: statement, .. } in statements::all() {
        assert!(!statement.contains("exists (select from"), "{statement}");
        assert!(!statement.contains("exists ( select from"), "{statement}");
    }
}

#[test]
fn statements_that_insert_in_a_cte_are_known() {
    let mut found = 0;
    for Statement { text: statement, .. } in
        statements::all().into_iter().filter(|statement| statement.text.starts_with("with "))
    {
        if !statement.contains("as ( insert into ") {
            continue;
        }
        found += 1;
        assert!(INSERTS_IN_CTES.iter().any(|start| statement.starts_with(start)), "{statement}");
    }
    assert_eq!(found, INSERTS_IN_CTES.len() + 1, "two begin alike: those that write decided races");
}
