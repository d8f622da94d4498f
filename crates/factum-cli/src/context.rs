//! What every command is given.

use std::path::PathBuf;

use factum_io::Env;

use crate::cli::{DataDirectory, GlobalArgs};
use crate::settings::Setting;
use crate::ui::Ui;

/// What every command is given: where the data is, how to talk, and the outside world.
#[derive(Debug)]
pub(crate) struct Context {
    /// The data directory; it may not exist yet.
    pub(crate) data: PathBuf,
    /// Whether it was named on the command line.
    pub(crate) data_is_argument: bool,
    /// The server that is asked in place of a directory.
    pub(crate) server: Option<ServerAddress>,
    /// What becomes of streams whose last events may be lost.
    pub(crate) lost_tails: LostTails,
    /// Memory for events that are read again and again, in bytes.
    pub(crate) block_cache_bytes: u64,
    /// Of a command that has settings, all of them.
    pub(crate) settings: Vec<Setting>,
    /// Standard output and error.
    pub(crate) ui: Ui,
    /// Files, clocks, randomness and threads.
    pub(crate) env: Env,
}

/// A server, and how it is asked.
#[derive(Clone)]
pub(crate) struct ServerAddress {
    pub(crate) url: String,
    /// Certificates to trust, and no others.
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) password: Option<String>,
}

impl std::fmt::Debug for ServerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerAddress")
    }
}

/// What becomes of a stream whose last events may be among those that were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LostTails {
    /// Nothing is appended to it.
    Refuse,
    /// It goes on behind what is left of it.
    Accept,
}

impl LostTails {
    const fn of(global: &GlobalArgs) -> Self {
        if global.accept_lost_tails {
            Self::Accept
        } else {
            Self::Refuse
        }
    }
}

impl Context {
    /// The context that the global arguments ask for.
    pub(crate) fn new(global: &GlobalArgs, data: DataDirectory) -> Self {
        Self {
            data: data.path,
            data_is_argument: data.is_argument,
            server: global.url.as_ref().map(|url| ServerAddress {
                url: url.clone(),
                ca_file: global.ca_file.clone(),
                password: global.url_password.clone(),
            }),
            lost_tails: LostTails::of(global),
            block_cache_bytes: 0,
            settings: Vec::new(),
            ui: Ui::new(global),
            env: Env::real(),
        }
    }

    /// Seconds since `start_ns`, by the monotonic clock.
    pub(crate) fn seconds_since(&self, start_ns: u64) -> f64 {
        let ns = self.env.clock.monotonic_ns().saturating_sub(start_ns);
        std::time::Duration::from_nanos(ns).as_secs_f64()
    }
}
