//! The built binary as a child process: its commands, and servers that can be killed.

use std::{
    path::Path,
    process::{ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use super::{app::SECRET, client::Client};

/// Longer than anything here takes; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_mins(1);

/// The binary, with nothing from the environment of the test but what finds programs.
pub(crate) fn switchboard(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        if told == "DATABASE_URL" || told.starts_with("SWITCHBOARD_") || told == "RUST_LOG" {
            command.env_remove(&name);
        }
    }
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// The binary on the database at `url`, with the tests' secret.
pub(crate) fn switchboard_on(url: &str, arguments: &[&str]) -> Command {
    let mut command = switchboard(arguments);
    set_environment(&mut command, url);
    command
}

fn set_environment(command: &mut Command, url: &str) {
    command.env("DATABASE_URL", url).env("SWITCHBOARD_JWT_SECRET", SECRET).env("SWITCHBOARD_LISTEN", "127.0.0.1:0");
}

/// Runs a command to its end.
pub(crate) async fn output(mut command: Command) -> Output {
    timeout(PATIENCE, command.output()).await.expect("it ends in time").unwrap()
}

/// Runs a command that must succeed; what it printed.
pub(crate) async fn printed(command: Command) -> String {
    let output = output(command).await;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {complaint}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail; what it complained of.
pub(crate) async fn complaint(command: Command) -> String {
    let output = output(command).await;
    assert!(!output.status.success(), "it succeeded");
    String::from_utf8(output.stderr).unwrap()
}

/// A server in a process of its own; killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) client: Client,
    said: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

impl Process {
    /// Starts a server on the database at `url`; returns when it listens.
    pub(crate) async fn serve(url: &str, flags: &[&str]) -> Self {
        Self::start(switchboard_on(url, &[&["serve"], flags].concat())).await
    }

    /// Starts a server that may open so many files; more cannot be had.
    pub(crate) async fn serve_with_open_files(url: &str, limit: u32, flags: &[&str]) -> Self {
        let mut command = Command::new("/bin/sh");
        let script = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_switchboard"), "serve"]).args(flags);
        command.stdin(Stdio::null()).kill_on_drop(true);
        set_environment(&mut command, url);
        Self::start(command).await
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Starts the server with these environment variables as well.
    pub(crate) async fn serve_in(url: &str, environment: &[(&str, &str)], flags: &[&str]) -> Self {
        let mut command = switchboard_on(url, &[&["serve"], flags].concat());
        command.envs(environment.iter().copied());
        Self::start(command).await
    }

    /// Starts a server with an embedded database in `directory`.
    pub(crate) async fn serve_embedded(directory: &Path, flags: &[&str]) -> Self {
        let mut command = switchboard(flags);
        command.env("SWITCHBOARD_DATA_DIR", directory).env("SWITCHBOARD_LISTEN", "127.0.0.1:0");
        Self::start(command).await
    }

    /// Starts a server by this command; returns when it listens.
    pub(crate) async fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (tell, listening) = oneshot::channel();
        let hears = Arc::clone(&said);
        // Reads on to the end: a full pipe would stop the server.
        let reader = tokio::spawn(async move {
            let mut tell = Some(tell);
            while let Ok(Some(line)) = lines.next_line().await {
                let address = line.strip_prefix("listening on http://").map(|address| address.parse().unwrap());
                hears.lock().unwrap().push(line);
                if let (Some(address), Some(tell)) = (address, tell.take_if(|_| address.is_some())) {
                    let _ = tell.send(address);
                }
            }
        });
        match timeout(PATIENCE, listening).await {
            Ok(Ok(address)) => Self { child, client: Client::new(address), said, reader },
            _ => panic!("the server does not listen: {:?}", said.lock().unwrap()),
        }
    }

    /// What it wrote to standard error so far.
    pub(crate) fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// Closes the pipe that it logs to.
    pub(crate) async fn stop_listening(&mut self) {
        self.reader.abort();
        assert!((&mut self.reader).await.is_err_and(|end| end.is_cancelled()), "it still runs");
    }

    /// `kill -9`; returns when it is gone.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sends a signal by its name.
    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = Command::new("/bin/sh").args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid]).status().await;
        assert!(sent.unwrap().success());
    }

    /// The most memory that it has taken so far, in MiB.
    pub(crate) fn peak_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().expect("it runs"))).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a Linux system");
        peak.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() / 1_024
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.expect("it ends in time").unwrap()
    }
}
