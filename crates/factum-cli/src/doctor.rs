//! What `factum doctor` looks at: each check says ok, warn or fail, and what to do.
//!
//! Probes write small files beside the store's and remove them; the store's own files are only read.

mod disk;
mod machine;
mod opened;

use std::path::{Path, PathBuf};

use factum_io::Env;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// As it should be.
    Ok,
    /// It works, but not as well as it could, or it could not be found out.
    Warn,
    /// It does not work.
    Fail,
}

/// What a check found.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    /// What was looked at.
    pub(crate) name: &'static str,
    /// How it is.
    pub(crate) health: Health,
    /// What was found.
    pub(crate) found: String,
    /// What to do, unless all is well.
    pub(crate) fix: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            health: Health::Ok,
            found: found.into(),
            fix: None,
        }
    }

    fn warn(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            name,
            health: Health::Warn,
            found: found.into(),
            fix: Some(fix.into()),
        }
    }

    fn fail(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            name,
            health: Health::Fail,
            found: found.into(),
            fix: Some(fix.into()),
        }
    }
}

/// All checks of a data directory and the machine it is on.
pub(crate) fn examine(data: &Path, env: &Env) -> Vec<Check> {
    let place = existing(data);
    let mut checks = vec![disk::directory(data, &place)];
    checks.extend(disk::checks(&place, env));
    checks.push(machine::clock(env));
    checks.push(machine::open_files());
    if data.is_dir() {
        checks.push(machine::lock_holder(data));
        checks.extend(opened::checks(data, env));
    }
    checks
}

/// Who has the store open for writing, in words; `None` if nobody, or nobody on this machine.
pub(crate) fn lock_holder(data: &Path) -> Option<String> {
    machine::holder_in_words(data)
}

/// The directory itself, or the nearest one above that is there.
fn existing(data: &Path) -> PathBuf {
    let absolute = std::path::absolute(data).unwrap_or_else(|_unknown| data.to_owned());
    absolute
        .ancestors()
        .find(|place| place.is_dir())
        .map_or_else(|| PathBuf::from("/"), Path::to_owned)
}
