//! The end of a process by power failure, and what is found afterwards.
//!
//! Relies on: pending units in the order of the calls that made them. Never: invents a state outside the model; a
//! sector is old or new, never half.

use std::collections::{BTreeMap, BTreeSet};

use super::SimDisk;
use super::image::Mask;
use super::names::InodeId;
use super::state::State;

/// Which pending units survive a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPolicy {
    /// All: as if everything had been synced.
    KeepAll,
    /// None: only what was promised.
    KeepNone,
    /// Those of the last pending write (its sectors, and the length if it changed it); without a pending write, those
    /// of the last pending call. An older write may so be lost while a later one is not.
    OnlyLast,
    /// Names and lengths, no data: files full of zeros.
    OnlyMetadata,
    /// Data, no names and lengths.
    OnlyData,
    /// Chosen by the seed: each unit by itself, with an even, a low or a high chance, or each call as a whole.
    Random {
        /// The same seed and the same pending units give the same choice.
        seed: u64,
    },
    /// Unit `i` survives if bit `i` is set; units from 64 on are lost. Units are ordered by the call that made them, and
    /// within it names first, then lengths, then sectors from low to high.
    Mask(u64),
}

/// How many bytes of data survive or are lost as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SectorSize {
    /// 512 bytes.
    #[default]
    Bytes512,
    /// 4,096 bytes.
    Bytes4096,
}

/// One thing that survives a crash or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Unit {
    call: u64,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Name(usize),
    Size(InodeId),
    Data {
        inode: InodeId,
        page: usize,
        mask: Mask,
    },
}

impl SimDisk {
    /// Fails the power and returns the disk as it is found afterwards; every call by the old handles now fails, see
    /// [`is_power_loss`](super::is_power_loss).
    ///
    /// May be called again on the same disk, to see what another policy would have left. The new disk keeps capacity,
    /// sector size and the refusal of direct files; it starts without locks, faults, lies and counts.
    #[must_use]
    pub fn crash(&self, policy: CrashPolicy) -> Self {
        let mut state = self.state();
        state.power_is_off = true;
        state.locks.clear();
        Self::from_state(state.survivor(policy))
    }

    /// How many units are pending: sectors, lengths and changes of names that a crash may keep or lose.
    ///
    /// A sector written with the bytes that it durably holds is not among them, nor is anything of a file that no name
    /// can lead to after a crash.
    #[must_use]
    pub fn pending_units(&self) -> usize {
        self.state().units().len()
    }
}

impl State {
    fn survivor(&self, policy: CrashPolicy) -> Self {
        let (mut names, mut sizes) = (BTreeSet::new(), BTreeSet::new());
        let mut data: BTreeMap<InodeId, BTreeMap<usize, Mask>> = BTreeMap::new();
        for unit in chosen(&self.units(), policy) {
            match unit.what {
                What::Name(index) => {
                    names.insert(index);
                }
                What::Size(inode) => {
                    sizes.insert(inode);
                }
                What::Data { inode, page, mask } => {
                    *data.entry(inode).or_default().entry(page).or_default() |= mask;
                }
            }
        }
        let names = self.names.survivor(&names);
        let none = BTreeMap::new();
        let survive = |id: InodeId| {
            let file = self.inodes.get(&id)?;
            Some((
                id,
                file.survivor(sizes.contains(&id), data.get(&id).unwrap_or(&none)),
            ))
        };
        let inodes = names.referenced().into_iter().filter_map(survive).collect();
        Self {
            names,
            inodes,
            next_inode: self.next_inode,
            capacity: self.capacity,
            sector_size: self.sector_size,
            refuses_direct: self.refuses_direct,
            ..Self::default()
        }
    }

    /// The pending units, in the order that [`CrashPolicy::Mask`] documents.
    fn units(&self) -> Vec<Unit> {
        let mut units = Vec::new();
        let names = self.names.pending_calls().enumerate();
        units.extend(names.map(|(index, call)| Unit {
            call,
            what: What::Name(index),
        }));
        let referenced = self.names.referenced();
        for (inode, file) in self
            .inodes
            .iter()
            .filter(|(inode, _)| referenced.contains(inode))
        {
            let size = file.pending_size();
            units.extend(size.map(|call| Unit {
                call,
                what: What::Size(*inode),
            }));
            for (page, bit, call) in file.pending_sectors() {
                let mask = 1 << bit;
                units.push(Unit {
                    call,
                    what: What::Data {
                        inode: *inode,
                        page,
                        mask,
                    },
                });
            }
        }
        if self.sector_size == SectorSize::Bytes4096 {
            units = joined_by_page(units);
        }
        units.sort_unstable();
        units
    }
}

/// Makes one unit of all pending sectors of a page, as of the last call that wrote to it.
fn joined_by_page(units: Vec<Unit>) -> Vec<Unit> {
    let mut pages: BTreeMap<(InodeId, usize), (u64, Mask)> = BTreeMap::new();
    let mut joined = Vec::new();
    for unit in units {
        if let What::Data { inode, page, mask } = unit.what {
            let (call, sectors) = pages.entry((inode, page)).or_default();
            *call = unit.call.max(*call);
            *sectors |= mask;
        } else {
            joined.push(unit);
        }
    }
    joined.extend(pages.into_iter().map(|((inode, page), (call, mask))| Unit {
        call,
        what: What::Data { inode, page, mask },
    }));
    joined
}

fn chosen(units: &[Unit], policy: CrashPolicy) -> Vec<Unit> {
    let is_data = |unit: &&Unit| matches!(unit.what, What::Data { .. });
    let units_where = |keep: &dyn Fn(usize, &Unit) -> bool| {
        let kept = units
            .iter()
            .enumerate()
            .filter(|(index, unit)| keep(*index, unit));
        kept.map(|(_, unit)| *unit).collect()
    };
    match policy {
        CrashPolicy::KeepAll => units.to_vec(),
        CrashPolicy::KeepNone => Vec::new(),
        CrashPolicy::OnlyData => units_where(&|_, unit| is_data(&unit)),
        CrashPolicy::OnlyMetadata => units_where(&|_, unit| !is_data(&unit)),
        CrashPolicy::OnlyLast => {
            let last = units
                .iter()
                .rfind(is_data)
                .or(units.last())
                .map(|unit| unit.call);
            units_where(&|_, unit| Some(unit.call) == last)
        }
        CrashPolicy::Mask(mask) => units_where(&|index, _| index < 64 && mask >> index & 1 == 1),
        CrashPolicy::Random { seed } => chosen_at_random(units, seed),
    }
}

/// An even chance for each sector alone would almost never leave a long write whole, or all but one sector of it.
fn chosen_at_random(units: &[Unit], seed: u64) -> Vec<Unit> {
    let mut random = fastrand::Rng::with_seed(seed);
    let eighths = match random.u8(0..4) {
        0 => 1,
        1 => 7,
        2 => 4,
        _ => return chosen_by_call(units, &mut random),
    };
    units
        .iter()
        .copied()
        .filter(|_| random.u8(0..8) < eighths)
        .collect()
}

fn chosen_by_call(units: &[Unit], random: &mut fastrand::Rng) -> Vec<Unit> {
    let mut fates = BTreeMap::new();
    let mut keep = |unit: &Unit| *fates.entry(unit.call).or_insert_with(|| random.bool());
    units.iter().copied().filter(|unit| keep(unit)).collect()
}
