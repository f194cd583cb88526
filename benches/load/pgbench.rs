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

/// One turn of a script; `None` where `pgbench` is not installed.
pub(crate) async fn run(stage: &Stage, script: &str, connections: usize, seconds: u32) -> Result<Option<Run>> {
    let Some(program) = stage.program("pgbench") else { return Ok(None) };
    let file: PathBuf = stage.path.join("pgbench.sql");
    fs::write(&file, fill_in(script))?;
    let output = Command::new(program)
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2", "--username=switchboard", "--host"])
        .arg(stage.peers().socket_folder())
        .env("PGOPTIONS", SESSION)
        .args(["--client", &connections.to_string(), "--time", &seconds.to_string(), "--file"])
        .arg(&file)
        .arg(stage.peers().name())
        .stderr(Stdio::piped())
        .output()
        .await?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let number = |before: &str| {
        let found = printed.lines().find_map(|line| line.strip_prefix(before))?;
        found.split_whitespace().next()?.parse::<f64>().ok()
    };
    let (Some(rate), Some(average)) = (number("tps = "), number("latency average = ")) else {
        return Err(format!("pgbench: {printed}{}", String::from_utf8_lossy(&output.stderr)).into());
    };
    let average = std::time::Duration::from_secs_f64(average / 1e3);
    // pgbench prints the mean latency only.
    Ok(Some(Run { rate, p50: average, p99: average, cpu: None }))
}
