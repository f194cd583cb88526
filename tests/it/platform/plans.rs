//! No statement reads a whole company where it looks something up, also with a plan that was made when the tables were empty,
//! as those are that a session makes once and keeps.
//!
//! On an empty table all indexes seem to cost the same, and the planner takes any that begins with the company.

use std::collections::HashMap;

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use crate::support::{
    cluster::TestDatabase,
    plans,
    statements::{self, Statement},
};

/// Statements that read by the company alone, each by the end of an index's name and a piece of its text, and why that is what
/// they ask for.
const OF_A_COMPANY: [(&str, &str, &str); 11] = [
    ("call_open", "'LEASE_EXPIRED' and call.pending_hang_up", "all calls that have not ended"),
    ("call_given_up", "'LEASE_EXPIRED' and call.pending_hang_up", "all calls that must be hung up"),
    ("chat_newest", "order by chat.inserted_at desc", "a list, which is planned for what it is asked"),
    ("contract_agent", "order by contract.inserted_at", "a list, which is planned for what it is asked"),
    ("call_queue_user_queued", "order by owner.queued desc", "a list, which is planned for what it is asked"),
    ("_xid_occurred_at_idx", "pg_current_snapshot()", "of all companies, what is new since the reader's position"),
    ("active_calls_pkey", "slot", "all slots: at most as many as the company's limit"),
    ("chat_visitor_unfinished", "unfinished as materialized", "all chats that a stream's filter may pass"),
    ("session_provider_pkey", "from session_provider", "all providers"),
    ("session_alert_open", "from session_alert", "all alerts that hold"),
    ("session_coordination_open", "active_provider = asked.name", "all open sessions, counted by provider"),
];

/// Statements whose conditions skip a column of an index, each by a piece of its text, and why that is not much.
const SKIPPING: [(&str, &str); 2] = [
    ("not exists ( select 1 from call_queue_sample", "one row of a company, or none, is enough"),
    ("count(*)::integer from session_provider_outcome", "of one provider and one hour, those that failed"),
];

/// The columns of every index, in order; an expression is `?`. And those of every table's primary key.
struct Indexes {
    columns: HashMap<String, Vec<String>>,
    keys: HashMap<String, Vec<String>>,
}

async fn indexes(sql: &mut PgConnection) -> Indexes {
    let query = "
        select index.relname::text, array_agg(coalesce(attname::text, '?') order by number), indisprimary,
            indrelid::regclass::text
        from pg_index
        join pg_class as index on index.oid = indexrelid and index.relnamespace = 'switchboard'::regnamespace
        cross join unnest(indkey) with ordinality as key (attnum, number)
        left join pg_attribute as attribute on attribute.attrelid = indrelid and attribute.attnum = key.attnum and key.attnum > 0
        group by index.relname, indisprimary, indrelid";
    let rows = sqlx::query(query).fetch_all(sql).await.unwrap();
    let keys = rows.iter().filter(|row| row.get(2)).map(|row| (row.get(3), row.get(1))).collect();
    Indexes { columns: rows.iter().map(|row| (row.get(0), row.get(1))).collect(), keys }
}

/// How a plan reads an index: how many of its leading columns have a condition, and whether one after them has.
#[derive(Debug)]
struct Scan {
    index: String,
    leading: usize,
    columns: usize,
    skips: bool,
    /// Below a limit: a page of a list.
    is_page: bool,
    /// A column of the table's primary key is compared row by row, and not looked up.
    filters_key: bool,
}

impl Scan {
    /// True if it looks rows up, or reads what the statement asks for.
    fn is_fine(&self, statement: &str) -> bool {
        if self.skips {
            return SKIPPING.iter().any(|(piece, _)| statement.contains(piece));
        }
        // Of a lookup that no statement does, its foreign keys are enough.
        let is_lookup = self.leading != 1 && (!self.filters_key || statement.starts_with("select 1 from only"));
        is_lookup
            || self.columns == 1
            || self.is_page
            || OF_A_COMPANY.iter().any(|(index, piece, _)| self.index.ends_with(index) && statement.contains(piece))
    }
}

/// The scans of indexes in a plan and below it.
fn scans(plan: &Value, is_page: bool, indexes: &Indexes, found: &mut Vec<Scan>) {
    // What is sorted or counted below a limit is read whole.
    let is_page = match plan["Node Type"].as_str() {
        Some("Limit") => true,
        Some("Sort" | "Aggregate" | "Hash" | "WindowAgg") => false,
        _ => is_page,
    };
    if let Some((index, columns)) =
        plan["Index Name"].as_str().and_then(|name| Some((name, indexes.columns.get(name)?)))
    {
        let filter = plan["Filter"].as_str().unwrap_or_default();
        let key = plan["Relation Name"].as_str().and_then(|table| indexes.keys.get(table));
        let condition = plan["Index Cond"].as_str().unwrap_or_default();
        let has: Vec<bool> = columns.iter().map(|column| condition.contains(&format!("({column} "))).collect();
        let leading = has.iter().take_while(|has| **has).count();
        found.push(Scan {
            index: index.to_owned(),
            leading,
            columns: columns.len(),
            skips: has[leading..].contains(&true),
            is_page,
            filters_key: key.is_some_and(|key| key.iter().any(|column| filter.contains(&format!("({column} = ")))),
        });
    }
    for below in plan["Plans"].as_array().into_iter().flatten() {
        scans(below, is_page, indexes, found);
    }
}

/// What is wrong with the plans that a session keeps.
async fn flaws(sql: &mut PgConnection, indexes: &Indexes, statements: &[Statement]) -> Vec<String> {
    let mut flaws = Vec::new();
    for Statement { text: statement, arguments } in statements {
        let prepare = format!("deallocate all; prepare one as {statement}");
        sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *sql).await.unwrap();
        let arguments =
            if *arguments == 0 { String::new() } else { format!("({})", vec!["null"; *arguments].join(", ")) };
        let explain = format!("explain (format json) execute one{arguments}");
        let plan: Value =
            sqlx::query_scalar(AssertSqlSafe(explain)).persistent(false).fetch_one(&mut *sql).await.unwrap();
        let mut found = Vec::new();
        scans(&plan[0]["Plan"], false, indexes, &mut found);
        for scan in found {
            if !scan.is_fine(statement) {
                flaws.push(format!("{scan:?}: {statement}"));
            }
        }
    }
    flaws
}

/// A lookup by the primary key, of every table that has companies: what foreign keys and functions do.
const LOOKUPS: &str = "
    select format('select 1 from only %s where %s', conrelid::regclass, string_agg(format('%I = $%s', attname, number), ' and ')),
        count(*)::integer
    from pg_constraint
    cross join unnest(conkey) with ordinality as key (attnum, number)
    join pg_attribute as attribute on attribute.attrelid = conrelid and attribute.attnum = key.attnum
    where contype = 'p' and connamespace = 'switchboard'::regnamespace
    group by conrelid
    having bool_or(attname = 'company_id') and conrelid::regclass::text not like 'event%'";

/// Every statement that is planned, and the lookups.
async fn statements(sql: &mut PgConnection) -> Vec<Statement> {
    let is_planned =
        |statement: &Statement| !["lock ", "truncate "].iter().any(|verb| statement.text.starts_with(verb));
    let mut statements: Vec<Statement> = statements::all().into_iter().filter(is_planned).collect();
    for row in sqlx::query(LOOKUPS).fetch_all(sql).await.unwrap() {
        statements.push(Statement { text: row.get(0), arguments: usize::try_from(row.get::<i32, _>(1)).unwrap() });
    }
    statements
}

#[tokio::test]
async fn no_kept_plan_reads_a_whole_company_to_find_something_in_it() {
    let database = TestDatabase::create().await;
    let of_batches = plans::session(&database.options()).await;
    let mut of_requests = plans::session_of_requests(&database.options()).await;
    let indexes = indexes(&mut of_requests).await;
    let statements = statements(&mut of_requests).await;
    for (whose, mut sql) in [("batches", of_batches), ("requests", of_requests)] {
        let flaws = flaws(&mut sql, &indexes, &statements).await;
        assert!(flaws.is_empty(), "{whose}:\n{}", flaws.join("\n"));
    }
}
