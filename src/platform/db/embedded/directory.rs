//! The data directory: what lies where, whose it is, and the two locks.

use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::unistd::geteuid;
use sqlx::postgres::PgConnectOptions;

use super::{
    binaries::{Account, Binaries, command},
    failed,
};
use crate::platform::error::{Error, Result};

/// How long an earlier Postgres gets to finish shutting down.
const SHUTDOWN_LIMIT: Duration = Duration::from_mins(1);
/// An earlier Postgres that still runs after this long has lost its supervisor and is told to stop.
const ORPHANED_AFTER: Duration = Duration::from_secs(3);
/// The longest path of a Unix socket: `sun_path` less its closing zero.
const SOCKET_PATH_LIMIT: usize = if cfg!(target_os = "macos") { 103 } else { 107 };

/// A data directory that exists and is ours, and the account that its Postgres runs as.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
    pub(super) account: Option<Account>,
}

/// Turns an I/O error into one that names the file.
pub(super) fn on(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    move |error| failed(format!("{}: {error}", path.display()))
}

impl Directory {
    /// Opens the data directory, making it if need be.
    pub fn open(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).map_err(on(path))?;
        let accounts = Account::candidates();
        let us = geteuid().as_raw();
        if geteuid().is_root() && accounts.is_empty() {
            return Err(failed(
                "Postgres does not run as root, and there is no account postgres or nobody to run it as",
            ));
        }
        // The account has to pass through the directory, but not to read it.
        let mode = if accounts.is_empty() { 0o700 } else { 0o711 };
        make(&path, mode)?;
        let home = path.join("postgres");
        make(&home, 0o700)?;
        let owner = fs::metadata(&home).map_err(on(&home))?.uid();
        let account = match accounts.first() {
            None => None,
            // Just made, here or by a start that was cut short.
            Some(first) if owner == us && is_empty(&home)? => {
                chown(&home, Some(first.uid), Some(first.gid)).map_err(on(&home))?;
                Some(first)
            }
            Some(_) => accounts.iter().find(|account| account.uid == owner),
        };
        if owner != us && account.is_none() {
            return Err(failed(format!("{}: belongs to another user (uid {owner})", home.display())));
        }
        let directory = Self { account: account.cloned(), path };
        directory.check_reach()?;
        Ok(directory)
    }

    /// Refuses what Postgres could not use, with a reason that it would not give itself.
    fn check_reach(&self) -> Result<()> {
        let socket = self.home().join(".s.PGSQL.5432");
        let length = socket.as_os_str().len();
        if length > SOCKET_PATH_LIMIT {
            return Err(failed(format!(
                "{}: {length} bytes, but the path of a Unix socket has at most {SOCKET_PATH_LIMIT}; \
                 set SWITCHBOARD_DATA_DIR to a shorter path",
                socket.display()
            )));
        }
        let Some(account) = &self.account else { return Ok(()) };
        let enters =
            command("/bin/sh", Some(account)).args(["-c", r#"cd "$1" 2>/dev/null"#, "sh"]).arg(self.home()).status();
        if enters.map_err(on(&self.path))?.success() {
            return Ok(());
        }
        Err(failed(format!(
            "{}: Postgres runs as {} here, which may not enter this directory or one above it; set SWITCHBOARD_DATA_DIR \
             to another, such as /var/lib/switchboard",
            self.path.display(),
            account.name
        )))
    }

    /// What belongs to the account: the data and the socket.
    pub(super) fn home(&self) -> PathBuf {
        self.path.join("postgres")
    }

    /// The data that Postgres keeps.
    pub fn data(&self) -> PathBuf {
        self.home().join("data")
    }

    /// What Postgres has to say, since its last start.
    pub fn log(&self) -> PathBuf {
        self.path.join("postgres.log")
    }

    /// How to connect to the Postgres that runs here.
    pub fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.home())
            .port(5432)
            .username("switchboard")
            .database("switchboard")
    }

    /// The programs for the data that is here, or any when there is none yet.
    pub fn binaries(&self) -> Result<Binaries> {
        let file = self.data().join("PG_VERSION");
        let made_by = match fs::read_to_string(&file) {
            Ok(text) => Some(text.trim().parse().map_err(|_| failed(format!("{}: not a version", file.display())))?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(on(&file)(error)),
        };
        Binaries::find(made_by, self.account.as_ref())
    }

    /// Takes the directory for this process; it lasts as long as the file that is returned.
    pub(super) fn own(&self) -> Result<File> {
        let path = self.path.join("owner");
        let mut file = self.lock_file(&path)?;
        match file.try_lock() {
            Ok(()) => {
                // Only for the message below.
                file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(on(&path))?;
                Ok(file)
            }
            Err(TryLockError::Error(error)) => Err(on(&path)(error)),
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                let _ = file.read_to_string(&mut process); // absent at worst
                Err(failed(format!(
                    "{}: in use by another switchboard (process {process}). Stop that one, or set SWITCHBOARD_DATA_DIR to \
                     another directory",
                    self.path.display()
                )))
            }
        }
    }

    /// Takes the lock that Postgres inherits: waits until the last process of the one before is gone.
    pub async fn lock(&self) -> Result<File> {
        let path = self.path.join("lock");
        let file = self.lock_file(&path)?;
        let begun = Instant::now();
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(on(&path)(error)),
                Err(TryLockError::WouldBlock) if begun.elapsed() > SHUTDOWN_LIMIT => {
                    return Err(failed(format!(
                        "{}: an earlier Postgres is still running and does not stop; see {}",
                        self.path.display(),
                        self.log().display()
                    )));
                }
                Err(TryLockError::WouldBlock) => {}
            }
            if !told && begun.elapsed() > ORPHANED_AFTER {
                told = true;
                tracing::warn!(directory = %self.path.display(), "an earlier Postgres still runs here; stopping it");
                // It holds the lock, so its pid file is true.
                let mut stop = command(self.binaries()?.folder.join("pg_ctl"), self.account.as_ref());
                stop.args(["stop", "--silent", "--no-wait", "--mode=fast", "--pgdata"]).arg(self.data());
                let _ = tokio::process::Command::from(stop).status().await; // the limit above judges whether it helped
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn lock_file(&self, path: &Path) -> Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(on(path))
    }

    /// The generated secret: whole or absent, also when two processes make it at once.
    pub(super) fn secret(&self) -> Result<String> {
        let path = self.path.join("jwt-secret");
        if !path.exists() {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map_err(Error::internal)?;
            let secret = bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
            let draft = self.path.join(format!("jwt-secret.{}", &secret[..16]));
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(on(&draft))?;
            file.write_all(secret.as_bytes()).and_then(|()| file.sync_all()).map_err(on(&draft))?;
            // A link, not a rename: the first one stays.
            let linked = fs::hard_link(&draft, &path);
            fs::remove_file(&draft).map_err(on(&draft))?;
            linked.or_else(|error| if path.exists() { Ok(()) } else { Err(error) }).map_err(on(&path))?;
            flush(&self.path)?;
        }
        let secret = fs::read_to_string(&path).map_err(on(&path))?.trim().to_owned();
        if secret.len() < 32 {
            return Err(failed(format!("{}: shorter than 32 bytes; remove it to have a new one made", path.display())));
        }
        Ok(secret)
    }
}

/// Makes sure that `path` is a directory of ours (or of the account's, which the caller judges). Gives `mode` to one
/// that it made and to one that is ours and empty, which is as good as made here; leaves others as they are.
fn make(path: &Path, mode: u32) -> Result<()> {
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(on(parent))?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(on(path)(error)),
        _ => {}
    }
    let found = fs::symlink_metadata(path).map_err(on(path))?;
    if !found.is_dir() {
        return Err(failed(format!("{}: not a directory (links are refused)", path.display())));
    }
    let ours = found.uid() == geteuid().as_raw();
    if !ours && path.file_name().is_none_or(|name| name != "postgres") {
        return Err(failed(format!("{}: belongs to another user (uid {})", path.display(), found.uid())));
    }
    if ours && found.mode() & 0o777 != mode && is_empty(path)? {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(on(path))?;
    }
    Ok(())
}

fn is_empty(path: &Path) -> Result<bool> {
    Ok(fs::read_dir(path).map_err(on(path))?.next().is_none())
}

/// Makes a directory's entries durable.
pub(super) fn flush(path: &Path) -> Result<()> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(on(path))
}

/// Where the data goes unless `SWITCHBOARD_DATA_DIR` says otherwise.
///
/// # Errors
/// UNAVAILABLE when there is neither that setting nor a home directory.
pub fn default_data_dir() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = set("SWITCHBOARD_DATA_DIR") {
        return Ok(path);
    }
    if geteuid().is_root() {
        return Ok("/var/lib/switchboard".into());
    }
    let home = set("HOME");
    let data = if cfg!(target_os = "macos") {
        home.map(|home| home.join("Library/Application Support"))
    } else {
        set("XDG_DATA_HOME").or_else(|| home.map(|home| home.join(".local/share")))
    };
    data.map(|data| data.join("switchboard")).ok_or_else(|| failed("no home directory; set SWITCHBOARD_DATA_DIR"))
}
