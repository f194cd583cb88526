//! `pgbench` with the same SQL: the limit of the database itself, with no server in front of it.

use std::{fs, path::PathBuf, process::Stdio};

use tokio::process::Command;

use crate::{Result, database::fill_in, report::Run, stage::Stage};

/// Reads a chat by its id.
pub(crate) const SELECT: &str = "\\set number random(1, CHATS)
select id, key, status, missed, headline, customer_name, version, inserted_at from bench.chat
where company_id = 'COMPANY' and id = md5((:number)::text)::uuid;
";
/// Inserts a chat without a race.
pub(crate) const INSERT: &str = "insert into bench.chat
    (company_id, id, key, website_id, contract_id, visitor, status, headline, customer_name)
values ('COMPANY', gen_random_uuid(), gen_random_uuid(), 'WEBSITE', 'CONTRACT', 'pgbench', 'ACTIVE', 'Hello?', 'Eve')
returning id, key, status;
";

/// A session as the server's batches have it.
const SESSION: &str = "-c search_path=switchboard,pg_temp -c plan_cache_mode=force_generic_plan -c enable_bitmapscan=off \
     -c enable_seqscan=off -c enable_mergejoin=off -c enable_material=off";
/// Seconds that are not counted. Each connection plans its statements in its first transaction; where these lock one row,
/// the first transactions come one after the other.
const WARM: u32 = 3;

/// One turn of a script; `None` where `pgbench` is not installed.
pub(crate) async fn run(stage: &Stage, script: &str, connections: usize, seconds: u32) -> Result<Option<Run>> {
    let Some(program) = stage.program("pgbench") else { return Ok(None) };
    let file: PathBuf = stage.path.join("pgbench.sql");
    fs::write(&file, fill_in(script))?;
    let output = Command::new(program)
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2", "--username=switchboard", "--host"])
        .arg(stage.peers().socket_folder())
        .env("PGOPTIONS", SESSION)
        .args(["--progress=1", "--client", &connections.to_string(), "--time", &(WARM + seconds).to_string(), "--file"])
        .arg(&file)
        .arg(stage.peers().name())
        .stderr(Stdio::piped())
        .output()
        .await?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let progress = String::from_utf8_lossy(&output.stderr);
    let counted: Vec<(f64, f64)> =
        progress.lines().filter_map(second).filter(|of| of.at > WARM).map(|of| of.told).collect();
    let count = f64::from(u32::try_from(counted.len())?);
    let rate = counted.iter().map(|(rate, _)| rate).sum::<f64>() / count;
    if !output.status.success() || !rate.is_normal() {
        return Err(format!("pgbench: {printed}{progress}").into());
    }
    let average = counted.iter().map(|(rate, latency)| rate * latency).sum::<f64>() / (rate * count);
    let average = std::time::Duration::from_secs_f64(average / 1e3);
    // pgbench prints the mean latency only.
    Ok(Some(Run { rate, p50: average, p99: average, cpu: None }))
}

/// What pgbench says once a second.
struct Second {
    at: u32,
    /// Transactions a second, and their mean latency in milliseconds.
    told: (f64, f64),
}

/// Reads a line such as `progress: 4.0 s, 812.3 tps, lat 78.1 ms stddev 3.2, 0 failed`.
fn second(line: &str) -> Option<Second> {
    let mut words = line.strip_prefix("progress: ")?.split_whitespace();
    let at: f64 = words.next()?.parse().ok()?;
    let rate = words.nth(1)?.parse().ok()?;
    let latency: f64 = words.nth(2)?.parse().ok()?;
    let latency = if latency.is_finite() { latency } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few seconds")]
    Some(Second { at: at.round() as u32, told: (rate, latency) })
}
