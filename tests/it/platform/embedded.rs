//! The embedded Postgres: it keeps its data, other accounts cannot connect, it stops with its server, and it loses no
//! committed row when the server is killed.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use sqlx::{Connection, PgConnection};
use switchboard::platform::db::embedded::{self, Directory, Embedded};

use crate::support::cluster::{kill_postmaster, scratch};

const CONNECTIONS: u32 = 20;
/// Set for the process that [`a_killed_server_loses_no_committed_row_and_the_next_one_starts`] starts and kills.
const ROLE: &str = "SWITCHBOARD_TEST_OWNER_OF";

async fn connect(embedded: &Embedded) -> PgConnection {
    PgConnection::connect_with(&embedded.options()).await.unwrap()
}

async fn count_rows(embedded: &Embedded) -> i64 {
    sqlx::query_scalar("select count(*) from kept").fetch_one(&mut connect(embedded).await).await.unwrap()
}

/// [`count_rows`] as soon as Postgres accepts connections again.
async fn count_rows_when_back(embedded: &Embedded) -> i64 {
    let back = tokio::time::timeout(Duration::from_mins(1), async {
        while PgConnection::connect_with(&embedded.options()).await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    back.await.expect("it comes back");
    count_rows(embedded).await
}

#[tokio::test]
async fn data_is_kept_between_runs_and_other_accounts_cannot_reach_it() {
    let path = scratch().await;
    assert!(embedded::running(&path).unwrap().is_none());
    let first = embedded::start(&path, CONNECTIONS).await.unwrap();
    let mut connection = connect(&first).await;
    sqlx::raw_sql("create table kept(n int); insert into kept values (1)").execute(&mut connection).await.unwrap();
    for (setting, value) in [("fsync", "on"), ("data_checksums", "on"), ("listen_addresses", ""), ("jit", "off")] {
        let found: String =
            sqlx::query_scalar("select current_setting($1)").bind(setting).fetch_one(&mut connection).await.unwrap();
        assert_eq!(found, value, "{setting}");
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path.join("postgres")), 0o700, "the directory of the socket");
    let rules = fs::read_to_string(path.join("postgres/data/pg_hba.conf")).unwrap();
    assert!(rules.lines().filter(|line| line.starts_with("host")).all(|line| line.ends_with("reject")));
    assert!(embedded::running(&path).unwrap().is_some(), "other commands find it");

    let secret = embedded::generated_secret(&path).unwrap();
    assert_eq!(secret.len(), 64);
    assert_eq!(mode(&path.join("jwt-secret")), 0o600);

    first.stop().await; // with a session still open
    assert!(embedded::running(&path).unwrap().is_none());
    let second = embedded::start(&path, CONNECTIONS).await.unwrap();
    assert_eq!(count_rows(&second).await, 1);
    assert_eq!(embedded::generated_secret(&path).unwrap(), secret);
    second.stop().await;
}

#[tokio::test]
async fn a_second_server_on_the_directory_is_refused_at_once() {
    let path = scratch().await;
    let first = embedded::start(&path, CONNECTIONS).await.unwrap();
    let refusal = embedded::start(&path, CONNECTIONS).await.unwrap_err();
    let expected = format!("in use by another switchboard (process {})", std::process::id());
    assert!(refusal.message().contains(&expected), "{refusal}");
    connect(&first).await; // which it did not disturb
    first.stop().await;
}

#[tokio::test]
async fn directories_of_other_owners_are_refused_and_left_unchanged() {
    let path = scratch().await;
    fs::create_dir(&path).unwrap();
    let message = |path: &Path| Directory::open(path).unwrap_err().message().to_owned();

    symlink(&path, path.join("link")).unwrap();
    assert!(message(&path.join("link")).contains("links are refused"));

    let long = path.join("d".repeat(100));
    assert!(message(&long).contains("the path of a Unix socket has at most"), "{}", message(&long));

    if nix::unistd::geteuid().is_root() {
        let private = path.join("private");
        fs::create_dir(&private).unwrap();
        fs::write(private.join("file"), "").unwrap();
        fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(message(&private).contains("may not enter"), "{}", message(&private));
        assert_eq!(fs::metadata(&private).unwrap().mode() & 0o777, 0o700, "left as it was");

        let foreign = path.join("foreign");
        fs::create_dir_all(foreign.join("postgres")).unwrap();
        std::os::unix::fs::chown(foreign.join("postgres"), Some(12_345), None).unwrap();
        assert!(message(&foreign).contains("belongs to another user (uid 12345)"));
    }
}

#[tokio::test]
async fn an_interrupted_first_start_is_repeated() {
    let path = scratch().await;
    let directory = Directory::open(&path).unwrap();
    let draft = directory.data().with_extension("new");
    fs::create_dir(&draft).unwrap();
    fs::write(draft.join("PG_VERSION"), "garbage").unwrap();
    let embedded = embedded::start(&path, CONNECTIONS).await.unwrap();
    connect(&embedded).await;
    assert!(!draft.exists());
    embedded.stop().await;
}

#[tokio::test]
async fn postgres_is_restarted_once_after_it_dies() {
    let path = scratch().await;
    let embedded = embedded::start(&path, CONNECTIONS).await.unwrap();
    let data = path.join("postgres/data");
    let mut connection = connect(&embedded).await;
    sqlx::raw_sql("create table kept(n int); insert into kept values (1)").execute(&mut connection).await.unwrap();
    kill_postmaster(&data);
    // The session ends, and then Postgres accepts connections again.
    while sqlx::query("select 1").execute(&mut connection).await.is_ok() {}
    assert_eq!(count_rows_when_back(&embedded).await, 1);
    kill_postmaster(&data);
    let reason = tokio::time::timeout(Duration::from_secs(30), embedded.exited()).await.expect("it is given up");
    // "twice within a minute", or "did not come back" where the second blow fell before the restart was seen to succeed.
    assert!(reason.message().starts_with("embedded Postgres: Postgres ended"), "{reason}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn postgres_stops_when_its_supervising_shell_is_gone() {
    let path = scratch().await;
    let embedded = embedded::start(&path, CONNECTIONS).await.unwrap();
    let mut connection = connect(&embedded).await;
    sqlx::raw_sql("create table kept(n int); insert into kept values (1)").execute(&mut connection).await.unwrap();
    let pid = fs::read_to_string(path.join("postgres/data/postmaster.pid")).unwrap();
    let state = fs::read_to_string(format!("/proc/{}/stat", pid.lines().next().unwrap())).unwrap();
    let shell = state.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap(); // after the name: state, parent
    assert!(Command::new("/bin/sh").args(["-c", "kill -KILL $0", shell]).status().unwrap().success());
    // Nothing has stopped the old Postgres. The keeper stops it and starts another.
    while sqlx::query("select 1").execute(&mut connection).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(count_rows_when_back(&embedded).await, 1);
    embedded.stop().await;
}

#[tokio::test]
async fn a_killed_server_loses_no_committed_row_and_the_next_one_starts() {
    if let Some(path) = env::var_os(ROLE) {
        return be_the_server(Path::new(&path)).await;
    }
    let path = scratch().await;
    let (mut reported, mut unreported) = (0_i64, 0_i64);
    for round in 1..=6_i64 {
        let mut server = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "platform::embedded::a_killed_server_loses_no_committed_row_and_the_next_one_starts",
                "--nocapture",
            ])
            .env(ROLE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let mut next = || lines.next().expect("the server lives").unwrap();
        while next() != "row" {}
        for _ in 1..10 * round {
            assert_eq!(next(), "row");
        }
        server.kill().unwrap(); // SIGKILL
        // Rows that it reported before it was gone. No pause before the next start.
        let late = lines.map_while(Result::ok).filter(|line| line == "row").count();
        reported += 10 * round + i64::try_from(late).unwrap();
        unreported += 1; // the row under way at the kill may be there
        if round % 2 == 0 {
            let embedded = embedded::start(&path, CONNECTIONS).await.unwrap();
            let rows = count_rows(&embedded).await;
            assert!((reported..=reported + unreported).contains(&rows), "{reported} reported, {rows} kept");
            embedded.stop().await;
        }
        server.wait().unwrap();
    }
}

/// Commits rows one by one and prints a line for each, until it is killed.
async fn be_the_server(path: &Path) {
    let embedded = embedded::start(path, CONNECTIONS).await.unwrap();
    let mut connection = connect(&embedded).await;
    sqlx::query("create table if not exists kept(n int)").execute(&mut connection).await.unwrap();
    println!(); // ends the line that the test harness began
    loop {
        sqlx::query("insert into kept values (1)").execute(&mut connection).await.unwrap();
        println!("row");
        std::io::stdout().flush().unwrap();
    }
}
