//! The program `switchboard`. Its commands are in `cli`.
// The future of a mutation is nested as deep as its resolvers, the transports and the tasks around them.
#![recursion_limit = "256"]

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli::CommandLine { log_format, command } = cli::CommandLine::parse_from(cli::arguments());
    switchboard::platform::telemetry::init(log_format);
    match command.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("switchboard: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}
