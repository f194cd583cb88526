//! The process's limit on open files, which every connection counts against.
//!
//! At the limit nothing works any more: no connection is accepted, not even a health check's, and no connection to the
//! database can be opened. So the soft limit is raised as far as it goes, and the limits on connections are lowered to what
//! it leaves after what the server itself needs.

use rlimit::Resource;

use super::places::KEPT_BACK;
use crate::platform::config::HttpSettings;

/// Descriptors for everything that is neither a client's connection nor one of the pool: listeners, the log, the runtime,
/// background tasks' connections, the JWKS, files that are read at a scrape.
const OTHERS: usize = 80;
/// Fewest connections that are left however low the limit is.
const LEAST: usize = 8;

/// Raises the limit on open files, and lowers the limits on connections to it. `pool` is the most connections to the
/// database that requests use.
pub fn fit(settings: &mut HttpSettings, pool: u32) {
    // On failure the limit stays as it is, which is read next.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let Ok((limit, _)) = Resource::NOFILE.get() else { return };
    let wanted = settings.connection_limit;
    lower(settings, usize::try_from(limit).unwrap_or(usize::MAX), pool as usize);
    if settings.connection_limit < wanted {
        tracing::warn!(
            open_files = limit,
            connections = settings.connection_limit,
            sockets = settings.socket_limit,
            "the limit on open files is lower than SWITCHBOARD_CONNECTION_LIMIT needs; it was lowered"
        );
    }
}

fn lower(settings: &mut HttpSettings, open_files: usize, pool: usize) {
    let left = open_files.saturating_sub(OTHERS + KEPT_BACK + pool).max(LEAST);
    settings.connection_limit = settings.connection_limit.min(left);
    settings.socket_limit = settings.socket_limit.min(settings.connection_limit);
    // One address must leave places for others.
    settings.unproven_limit = settings.unproven_limit.min(settings.connection_limit / 2);
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;

    #[test]
    fn the_limits_are_lowered_to_what_the_servers_own_needs_leave() {
        for (open_files, connections, sockets, unproven) in
            [(1_048_576, 30_000, 20_000, 500), (1_024, 880, 880, 440), (64, 8, 8, 4)]
        {
            let matches = HttpSettings::augment_args(clap::Command::new("test")).get_matches_from(["test"]);
            let mut settings = HttpSettings::from_arg_matches(&matches).unwrap();
            lower(&mut settings, open_files, 16);
            let lowered = (settings.connection_limit, settings.socket_limit, settings.unproven_limit);
            assert_eq!(lowered, (connections, sockets, unproven), "{open_files}");
        }
    }
}
