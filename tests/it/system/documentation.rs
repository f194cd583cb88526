//! The documents for people: their paths exist, their examples run, their list of error codes is complete.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::json;
use switchboard::platform::error::Code;
use tokio::process::Command;

use crate::support::app::{TestApp, service};

/// Most lines of the README.
const README_LINES: usize = 200;
/// The address in the examples.
const ADDRESS: &str = "127.0.0.1:4000";
/// Beginnings of what is a path of the repository when it stands between backticks.
const FOLDERS: [&str; 8] = ["src/", "tests/", "docs/", "migrations/", "benches/", "web/", ".ci/", ".sqlx/"];

/// A page for people: its path and its text.
struct Page {
    path: PathBuf,
    text: String,
}

/// The README and everything in `docs/`.
fn pages() -> Vec<Page> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let paths = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let paths = [root.join("README.md")].into_iter().chain(paths);
    paths.map(|path| Page { text: fs::read_to_string(&path).unwrap(), path }).collect()
}

impl Page {
    /// The fenced blocks with this word or these words after the fence.
    fn blocks(&self, info: &str) -> Vec<String> {
        let mut blocks = Vec::new();
        let mut open: Option<(bool, String)> = None;
        for line in self.text.lines() {
            open = match (line.strip_prefix("```"), open.take()) {
                (Some(rest), None) => Some((rest == info, String::new())),
                (Some(_), Some((wanted, block))) => {
                    blocks.extend(wanted.then_some(block));
                    None
                }
                (None, Some((wanted, block))) => Some((wanted, block + line + "\n")),
                (None, None) => None,
            };
        }
        assert!(open.is_none(), "{}: a block is not closed", self.path.display());
        blocks
    }

    /// The paths that the page names: in backticks from the repository's root, in links from the page's folder.
    fn named_paths(&self) -> Vec<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let quoted = self.text.split('`').filter(|text| FOLDERS.iter().any(|folder| text.starts_with(folder)));
        let quoted = quoted.filter(|text| !text.contains(['<', '*', ' ', '\n'])).map(|text| root.join(text));
        let links = self.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let links = links.filter_map(|link| link.split('#').next());
        let links = links.filter(|link| !link.is_empty() && !link.contains("://"));
        quoted.chain(links.map(|link| self.path.with_file_name(link))).collect()
    }

    /// The GraphQL documents in blocks of GraphQL and of JavaScript.
    fn graphql_documents(&self) -> Vec<String> {
        let scripts = self.blocks("js");
        let quoted = scripts.iter().flat_map(|script| script.split('`').skip(1).step_by(2)).map(str::to_owned);
        self.blocks("graphql").into_iter().chain(quoted).collect()
    }
}

#[test]
fn the_readme_is_short() {
    let lines = pages()[0].text.lines().count();
    assert!(lines <= README_LINES, "README.md has {lines} lines");
}

#[test]
fn every_path_in_the_documents_exists() {
    let mut found = 0;
    for page in pages() {
        for path in page.named_paths() {
            found += 1;
            assert!(path.exists(), "{} names {}", page.path.display(), path.display());
        }
    }
    assert!(found > 50, "only {found} paths found");
}

#[tokio::test]
async fn every_graphql_document_in_the_documents_is_valid() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let mut found = 0;
    for page in pages() {
        for document in page.graphql_documents() {
            found += 1;
            // The whole document is validated, and only the operation that was added is executed.
            let body = json!({ "query": format!("{document} query Check {{ __typename }}"), "operationName": "Check" });
            let answer = node.post(&service(), body.to_string()).await.unwrap();
            assert_eq!((answer.status, answer.code()), (200, ""), "{}: {document}\n{answer:?}", page.path.display());
        }
    }
    assert!(found >= 3, "only {found} documents found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_for_a_shell_run() {
    let app = TestApp::new().await;
    let node = app.node_with(&["--dev"]).await;
    let address = node.app.address.to_string();
    let mut printed = Vec::new();
    for script in pages().iter().flat_map(|page| page.blocks("sh run")) {
        assert!(script.contains(ADDRESS), "an example that calls no server: {script}");
        let script = format!("set -euo pipefail\n{}", script.replace(ADDRESS, &address));
        let run = Command::new("bash").args(["-c", &script]).stdin(Stdio::null()).output().await;
        let output = run.expect("bash and curl are installed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{script}\n{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(!text.contains("\"errors\""), "{script}\n{text}");
        printed.push(text);
    }
    let [story] = &printed[..] else { panic!("{} examples found", printed.len()) };
    for part in ["\"state\":\"WAITING\"", "\"outcome\":\"STARTED\"", "\"RESCINDED\"", "\"ChatStarted\""] {
        assert!(story.contains(part), "{part} is not in:\n{story}");
    }
}

#[test]
fn the_documents_list_every_error_code_and_no_other() {
    let pages = pages();
    let api = &pages.iter().find(|page| page.path.ends_with("docs/api.md")).unwrap().text;
    let errors = api.split("\n## Errors").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = errors.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let is_code = |word: &&str| word.len() > 2 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let mut listed: Vec<&str> = rows.flat_map(|cell| cell.split('`').filter(is_code)).collect();
    let mut known: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    listed.sort_unstable();
    known.sort_unstable();
    assert_eq!(listed, known);
}
