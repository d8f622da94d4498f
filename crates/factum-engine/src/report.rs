//! What opening found, and what a store is doing.

use factum_store::{Damage, Kind, StoreError};
use factum_types::Position;

use crate::paths::{Paths, segment_name};
use crate::recover::{Finding, Recovered};

/// What opening a store found.
#[derive(Debug, Clone, Default)]
pub struct OpenReport {
    /// Sealed segments listed.
    pub sealed_segments: usize,
    /// Segments read because they had no index yet.
    pub recovered_segments: usize,
    /// One more than the last position, lost ones included.
    pub records: u64,
    /// How long opening took, in nanoseconds.
    pub took_ns: u64,
    /// Where the log was cut, if it was: what stood behind was never acknowledged.
    pub cut: Option<String>,
    /// Copies of the manifest that could not be used; they have been written anew, unless the store was opened read-only.
    pub manifest_damage: Vec<String>,
    /// Everything that is not as it was written, worst first.
    pub damage: Vec<DamageReport>,
    /// Whether something acknowledged is lost, so that the store can be read but not written until that is accepted.
    pub degraded: bool,
    pub(crate) accepted: Vec<Finding>,
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamageReport {
    /// What it is.
    pub what: String,
    /// Where it is.
    pub damage: Damage,
    /// How many records are lost; `None` when that is not known.
    pub lost: Option<u64>,
}

impl OpenReport {
    pub(crate) fn new(paths: &Paths, damaged: Vec<(usize, String)>) -> Self {
        let manifest_damage = damaged
            .into_iter()
            .map(|(copy, why)| format!("{}: {why}", paths.shown(&paths.manifest(copy))))
            .collect();
        Self {
            manifest_damage,
            ..Self::default()
        }
    }

    pub(crate) fn take(&mut self, recovered: &Recovered, read: usize, sealed: usize) {
        self.sealed_segments = sealed;
        self.recovered_segments = read;
        self.cut = recovered.cut.filter(|cut| cut.frame).map(|cut| {
            format!("the log was cut at offset {} of its last segment: a frame there never arrived whole", cut.offset)
        });
        self.damage = recovered.findings.iter().map(DamageReport::new).collect();
        self.damage
            .sort_by_key(|report| std::cmp::Reverse(report.lost.unwrap_or(u64::MAX)));
    }

    /// Why the store may not be written, for whoever tries.
    pub(crate) fn refusal(&self) -> StoreError {
        let worst = self.damage.first();
        let what = worst.map_or_else(String::new, |report| {
            let damage = &report.damage;
            format!(
                " ({}: {}, offset {})",
                report.what, damage.file, damage.offset
            )
        });
        let message = format!(
            "the store is read-only because acknowledged events are damaged{what}; restore a backup, \
             or accept the loss to write again"
        );
        StoreError::new(Kind::ReadOnly, message)
    }
}

impl DamageReport {
    pub(crate) fn new(finding: &Finding) -> Self {
        let last = finding.first_position + finding.lost.saturating_sub(1);
        let damage = Damage {
            file: format!("segments/{}", segment_name(finding.segment, 0)),
            offset: finding.offset,
            length: finding.length,
            first: Position::from_raw(finding.first_position),
            last: Position::from_raw(last),
        };
        let lost = (!finding.unbounded).then_some(finding.lost);
        Self {
            what: finding.what.clone(),
            damage,
            lost,
        }
    }
}

/// What a store is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// One more than the last published position.
    pub records: u64,
    /// Segments with an index file.
    pub sealed_segments: usize,
    /// Segments without one yet, the one being written included.
    pub unsealed_segments: usize,
    /// Bytes of all segment files that are used.
    pub segment_bytes: u64,
    /// Streams whose tails are in memory.
    pub streams_in_memory: usize,
    /// Bytes of indexes in memory.
    pub index_bytes_in_memory: u64,
}
