//! What the engine says about a store as a whole, in words that commands print.

use factum_types::Position;

/// How closely a store is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VerifyDepth {
    /// That all files are there and fit together.
    Quick,
    /// Every byte.
    Full,
}

/// How bad a finding is.
#[expect(dead_code, reason = "the engine makes these")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// Nothing is lost, nothing needs to be done.
    Harmless,
    /// Nothing is lost, but something should be made anew.
    Repairable,
    /// Events are damaged.
    Lost,
}

/// Something that is not as it should be.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    /// The file, relative to the data directory.
    pub(crate) file: String,
    /// Where in it, in bytes.
    pub(crate) offset: u64,
    /// How many bytes.
    pub(crate) length: u64,
    /// The first position affected, if known.
    pub(crate) first: Option<Position>,
    /// The last position affected, if known.
    pub(crate) last: Option<Position>,
    /// What.
    pub(crate) what: String,
    /// How bad.
    pub(crate) severity: Severity,
}

/// What verifying found.
#[derive(Debug, Clone)]
pub(crate) struct Verified {
    /// Files of the log.
    pub(crate) segments: u64,
    /// Group commits.
    pub(crate) frames: u64,
    /// Records: events, and what readers do not see.
    pub(crate) records: u64,
    /// Bytes looked at.
    pub(crate) bytes: u64,
    /// What is not as it should be.
    pub(crate) findings: Vec<Finding>,
    /// Whether every acknowledged event is there as written.
    pub(crate) is_clean: bool,
}

/// What a backup or a restore copied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackedUp {
    /// Bytes copied.
    pub(crate) bytes: u64,
    /// Files copied.
    pub(crate) files: u64,
    /// Everything up to here is in it; `None` for an empty store.
    pub(crate) head: Option<Position>,
}

/// What opening the store found.
#[derive(Debug, Clone)]
pub(crate) struct OpenReport {
    /// Files of the log.
    pub(crate) segments: u64,
    /// Records in them.
    pub(crate) records: u64,
    /// What recovery did or found, in words; empty after a clean close.
    pub(crate) notes: Vec<String>,
    /// Whether the store refuses writes because of damage.
    pub(crate) is_degraded: bool,
}
