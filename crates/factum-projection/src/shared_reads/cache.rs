//! What was read lately, what is being read, and where readers are.
//!
//! Relies on: being asked under one lock. Never: says where the log ends; grows over its limit.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};

use factum_store::Source;
use factum_types::{Position, RecordedEvent};

use super::covers::Covers;
use super::reading::{Mark, Reading};
use super::{AGE_NS, Shared};

/// What a chunk counts for at least, so that there are never very many.
const CHUNK_COST_MIN: usize = 32 << 10;
/// How many positions may be between two readers that are near.
const NEAR: u64 = 1 << 15;

/// Events of a source that follow one another; at least one.
pub(super) struct Chunk {
    pub(super) from: Position,
    pub(super) to: Position,
    pub(super) events: Vec<RecordedEvent>,
    pub(super) bytes: usize,
    /// When they were read.
    pub(super) read_ns: u64,
    /// Whether nothing came after them, in a read that was begun at this moment.
    pub(super) ended: Option<u64>,
}

impl Chunk {
    fn covers(&self, at: Position) -> bool {
        (self.from..=self.to).contains(&at)
    }
}

/// Where a source was read last, and when.
#[derive(Clone, Copy)]
struct Place {
    at: Position,
    seen_ns: u64,
}

/// What is wanted.
pub(super) struct Want<'r> {
    pub(super) source: &'r Arc<Source>,
    /// Its number among the sources that are read as one, and what is read for them.
    pub(super) cover: Option<&'r (usize, Arc<Source>)>,
    pub(super) at: Position,
}

pub(super) enum Found {
    Chunk(Arc<Chunk>),
    Reading(Arc<Reading>),
}

pub(super) struct Cache {
    /// Oldest first.
    chunks: VecDeque<(Arc<Source>, Arc<Chunk>)>,
    bytes: usize,
    bytes_max: usize,
    readings: Vec<(Arc<Mark>, Weak<Reading>)>,
    /// Of the sources that are read as one, by number.
    places: BTreeMap<usize, Place>,
    since_ns: u64,
}

impl Cache {
    pub(super) const fn new(bytes_max: usize, now_ns: u64) -> Self {
        Self {
            chunks: VecDeque::new(),
            bytes: 0,
            bytes_max,
            readings: Vec::new(),
            places: BTreeMap::new(),
            since_ns: now_ns,
        }
    }

    pub(super) const fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub(super) fn limit(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
        self.shrink(0);
    }

    /// What was read of it already, if any.
    pub(super) fn chunk(&mut self, want: &Want<'_>, now_ns: u64) -> Option<Arc<Chunk>> {
        self.shrink(now_ns);
        let fits = |source: &Source| {
            source == &**want.source || want.cover.is_some_and(|(_, cover)| source == &**cover)
        };
        let found = self
            .chunks
            .iter()
            .rev()
            .find(|(source, chunk)| chunk.covers(want.at) && fits(source));
        found.map(|(_, chunk)| Arc::clone(chunk))
    }

    /// What was read of it already, or the read that will bring it: one that someone has begun, or a new one.
    pub(super) fn find(&mut self, want: &Want<'_>, shared: &Shared) -> Found {
        let now_ns = shared.now_ns();
        let with_others = match want.cover {
            Some((number, cover)) => {
                let (at, seen_ns) = (want.at, now_ns);
                self.places.insert(*number, Place { at, seen_ns });
                self.is_near(&shared.covers, (*number, cover), want.at, now_ns)
                    .then_some(cover)
            }
            None => None,
        };
        if let Some(chunk) = self.chunk(want, now_ns) {
            return Found::Chunk(chunk);
        }
        let source = with_others.unwrap_or(want.source);
        // Only what is given back is held on to: the last to let go of a read drops it, which is not to be done under this lock.
        self.readings.retain(|(_, it)| it.strong_count() > 0);
        let joined = self.readings.iter().find_map(|(mark, reading)| {
            let fits = *mark.source == **source && mark.can_be_joined(want.at, now_ns);
            if fits { reading.upgrade() } else { None }
        });
        Found::Reading(joined.unwrap_or_else(|| {
            let reading = Arc::new(Reading::new(Arc::clone(source), want.at, now_ns));
            let mark = Arc::clone(&reading.mark);
            self.readings.push((mark, Arc::downgrade(&reading)));
            reading
        }))
    }

    /// Whether another source of these is read near there. One that was not read yet may come there, for a while.
    fn is_near(
        &self,
        covers: &Covers,
        (number, cover): (usize, &Source),
        at: Position,
        now_ns: u64,
    ) -> bool {
        covers
            .others(number, cover)
            .any(|other| match self.places.get(&other) {
                None => !is_old(self.since_ns, now_ns),
                Some(place) => {
                    !is_old(place.seen_ns, now_ns) && place.at.raw().abs_diff(at.raw()) < NEAR
                }
            })
    }

    /// Keeps what was read.
    pub(super) fn put(&mut self, source: &Arc<Source>, chunk: &Arc<Chunk>, now_ns: u64) {
        self.bytes += cost(chunk);
        self.chunks
            .push_back((Arc::clone(source), Arc::clone(chunk)));
        self.shrink(now_ns);
    }

    /// Nobody joins this one any more.
    pub(super) fn close(&mut self, reading: &Reading) {
        self.readings
            .retain(|(mark, _)| !Arc::ptr_eq(mark, &reading.mark));
    }

    /// Drops what is too old, and the oldest of what is too much.
    fn shrink(&mut self, now_ns: u64) {
        while let Some((_, oldest)) = self.chunks.front() {
            if self.bytes <= self.bytes_max && !is_old(oldest.read_ns, now_ns) {
                break;
            }
            self.bytes -= cost(oldest);
            self.chunks.pop_front();
        }
    }
}

fn cost(chunk: &Chunk) -> usize {
    chunk.bytes.max(CHUNK_COST_MIN)
}

pub(super) const fn is_old(then_ns: u64, now_ns: u64) -> bool {
    now_ns.saturating_sub(then_ns) > AGE_NS
}
