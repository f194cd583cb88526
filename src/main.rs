//! The commands: serve (default), migrate, schema, seed, company, token, api-key.

mod command;

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let command::CommandLine { log_format, command } = command::CommandLine::parse_from(command::arguments());
    switchboard::telemetry::init(log_format);
    match command.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("switchboard: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}
