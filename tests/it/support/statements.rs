//! The checked statements of the whole server, read from their descriptions (`.sqlx/`), so that none is forgotten.

use std::{fs, path::Path};

use serde_json::Value;

/// A statement: without comments, and with single spaces; and how many arguments it takes.
pub(crate) struct Statement {
    pub(crate) text: String,
    pub(crate) arguments: usize,
}

/// Every checked statement.
pub(crate) fn all() -> Vec<Statement> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    let mut statements = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let description: Value = serde_json::from_str(&fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap();
        let code = description["query"].as_str().unwrap().lines();
        let words: Vec<&str> =
            code.map(|line| line.split("--").next().unwrap_or_default()).flat_map(str::split_whitespace).collect();
        let arguments = description["describe"]["parameters"]["Left"].as_array().map_or(0, Vec::len);
        statements.push(Statement { text: words.join(" "), arguments });
    }
    assert!(statements.len() > 200, "only {} statements found", statements.len());
    statements
}
