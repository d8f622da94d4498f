//! How a power cut is drawn, for all layers.
//!
//! Relies on: `SimDisk::crash` may be asked again on the same disk. Never: changes the disk that lost its power.

use factum_io::sim::{CrashPolicy, SimDisk};

/// Up to so many pending units, every subset is tried.
const EVERY_SUBSET_UNITS_MAX: usize = 10;

/// A policy drawn from a seed.
#[must_use]
pub fn policy(random: &mut fastrand::Rng) -> CrashPolicy {
    match random.u8(0..10) {
        0 => CrashPolicy::KeepAll,
        1 => CrashPolicy::KeepNone,
        2 => CrashPolicy::OnlyLast,
        3 => CrashPolicy::OnlyMetadata,
        4 => CrashPolicy::OnlyData,
        _ => CrashPolicy::Random {
            seed: random.u64(..),
        },
    }
}

/// The policies for what is pending: every subset if there are few, else the extremes and `samples` random ones.
#[must_use]
pub fn policies(disk: &SimDisk, seed: u64, samples: u64) -> Vec<CrashPolicy> {
    let units = disk.pending_units();
    if units <= EVERY_SUBSET_UNITS_MAX {
        return (0..1_u64 << units).map(CrashPolicy::Mask).collect();
    }
    let mut policies = vec![
        CrashPolicy::KeepAll,
        CrashPolicy::KeepNone,
        CrashPolicy::OnlyLast,
        CrashPolicy::OnlyMetadata,
        CrashPolicy::OnlyData,
    ];
    policies.extend((0..samples).map(|n| CrashPolicy::Random {
        seed: seed.wrapping_add(n),
    }));
    policies
}
