//! The platform is below the concepts: no file of it imports a concept or the application that composes them.

use std::{
    fs,
    path::{Path, PathBuf},
};

#[test]
fn the_platform_imports_no_concept() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let lib = fs::read_to_string(source.join("lib.rs")).unwrap();
    let declared = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let above: Vec<&str> = declared.filter(|module| *module != "platform").collect();
    assert!(above.contains(&"chat") && above.contains(&"concepts"), "the modules of the crate were not found");
    let mut folders = vec![source.join("platform")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files += 1;
                let text = fs::read_to_string(&path).unwrap();
                for import in imports(&text) {
                    assert!(!above.contains(&import), "{} imports {import}", path.display());
                }
            }
        }
    }
    assert!(files > 50, "only {files} files found");
}

/// The files of the crate without their tests: path below `src`, and text.
fn code() -> Vec<(PathBuf, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![source.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("tests") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                let code = code.split("#[cfg(test)]\n#[expect").next().unwrap();
                found.push((path.strip_prefix(&source).unwrap().to_owned(), code.to_owned()));
            }
        }
    }
    assert!(found.len() > 200, "only {} files found", found.len());
    found
}

#[test]
fn ids_have_one_source() {
    let makes_ids = ["now_v7()", "new_v4()", "from_unix_timestamp_millis(", "from_random_bytes("];
    let makes_ids = |code: &str| {
        makes_ids
            .iter()
            .any(|call| code.contains(&format!("Uuid::{call}")) || code.contains(&format!("Builder::{call}")))
    };
    let found: Vec<_> = code().into_iter().filter(|(_, code)| makes_ids(code)).map(|(path, _)| path).collect();
    assert_eq!(found, [Path::new("platform/clock.rs")]);
}

#[test]
fn concepts_take_no_connection_by_hand() {
    // Whoever takes one from a pool takes it from everybody. The platform bounds each way to one: `Reads` by the caller's
    // share, a unit of work by its lines, a background task by the scheduler's pool.
    let takes = |code: &str| {
        let words: String = code.split_whitespace().collect();
        [".acquire()", ".acquire_timeout(", ".try_acquire()", "pool().begin()", "PgConnection::connect"]
            .iter()
            .any(|call| words.contains(call))
    };
    let above = |path: &Path| !path.starts_with("platform") && !path.starts_with("cli");
    let found: Vec<_> =
        code().into_iter().filter(|(path, code)| above(path) && takes(code)).map(|(path, _)| path).collect();
    assert!(found.is_empty(), "{found:?}");
    assert!(takes("self.work.pool()\n    .acquire().await"));
}

/// The first name of each path that starts with `crate::`; of `crate::{…}` all names within the braces.
fn imports(text: &str) -> impl Iterator<Item = &str> {
    text.split("crate::").skip(1).flat_map(|rest| {
        let list = rest.strip_prefix('{').unwrap_or(rest);
        let end = if list.len() < rest.len() { list.find("};") } else { list.find(|c| !is_name(c)) };
        list[..end.unwrap_or(list.len())].split(|c| !is_name(c))
    })
}

fn is_name(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}
