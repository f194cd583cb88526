//! The program `switchboard`. Everything is in the library, also its `main`: the code of an `async fn` is generated where it
//! is awaited, so a program that awaited the server itself would have all of it compiled a second time.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    switchboard::cli::main()
}
