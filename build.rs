//! Rebuilds the binary when what it embeds at compile time changes: `sqlx::migrate!` the migrations, `http::console`
//! the files that `make web` builds.

use std::path::Path;

/// Absent until it is built the first time. Cargo would run this script at each build if it watched a path that is not
/// there; so that first build touches this file instead (`web/vite.config.mjs`).
const CONSOLE: &str = "web/dist";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=migrations");
    if Path::new(CONSOLE).exists() {
        println!("cargo:rerun-if-changed={CONSOLE}");
    }
}
