//! What is remembered of the numbers in virtual streams.
//!
//! A [`Point`] is a fact: so many links stand up to this position. Of each stream that is read, a sparse ascending list of points is
//! kept, about one in [`STRIDE_LINKS`] links, and how far it has been counted. Between two points with the same number there is no link,
//! so that a walk can leap; runs without a link are kept as their two ends. A list that is full keeps every second point from then on.
//! Relies on: whoever notes a point has looked at everything before it, from a point noted earlier. Never: reads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use factum_types::{Position, StreamName};

/// A point is kept for every so many links, until a list is full.
const STRIDE_LINKS: u64 = 256;
/// And after so many events of the source for each link of the stride, when few of them are in the stream.
const EVENTS_PER_LINK: u64 = 16;
/// Most points in one list, of 24 bytes each; more than four million links before a list is thinned out.
const POINTS_MAX: usize = 16_384;
/// Most streams of which points are kept; the one not used for longest is forgotten, and counted again when it is read.
const STREAMS_MAX: usize = 256;
/// How many events of the source are asked for at once.
const SLICE_EVENTS: u64 = 4_096;

/// The limits of what is remembered. All are at least one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) streams: usize,
    pub(super) points: usize,
    pub(super) stride_links: u64,
    pub(super) slice_events: u64,
}

impl Limits {
    /// Together, 96 MiB at most.
    pub(super) const SERVER: Self = Self {
        streams: STREAMS_MAX,
        points: POINTS_MAX,
        stride_links: STRIDE_LINKS,
        slice_events: SLICE_EVENTS,
    };
}

/// A place in a virtual stream: so many links stand at or before this position (`None`: before the first event).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Point {
    pub(super) number: u64,
    pub(super) after: Option<Position>,
}

impl Point {
    /// Before everything.
    pub(super) const START: Self = Self {
        number: 0,
        after: None,
    };

    /// The same number of links, when nothing more is in the stream up to this position.
    pub(super) fn and_nothing_up_to(self, position: Option<Position>) -> Self {
        Self {
            after: self.after.max(position),
            ..self
        }
    }
}

/// How far to count.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// Until there are this many links.
    Number(u64),
    /// Until everything up to this position is counted.
    Position(Option<Position>),
}

/// What is remembered, of the streams that were read last.
#[derive(Debug)]
pub(super) struct Counts {
    limits: Limits,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    streams: BTreeMap<StreamName, Used>,
    uses: u64,
}

#[derive(Debug)]
struct Used {
    counted: Arc<Counted>,
    last: u64,
}

/// What is remembered of one stream.
#[derive(Debug)]
pub(super) struct Counted {
    limits: Limits,
    known: Mutex<Known>,
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Known {
    /// Ascending in both.
    points: Vec<Point>,
    points_max: usize,
    /// How far it is counted; not before the last of the points.
    end: Point,
    stride_links: u64,
    /// Events of the source since the last point.
    passed: u64,
}

impl Counts {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            kept: Mutex::default(),
        }
    }

    /// What is remembered of this stream; from now on, if it was nothing.
    pub(super) fn of(&self, name: &StreamName) -> Arc<Counted> {
        let mut kept = lock(&self.kept);
        kept.uses += 1;
        let last = kept.uses;
        if let Some(used) = kept.streams.get_mut(name) {
            used.last = last;
            return Arc::clone(&used.counted);
        }
        while kept.streams.len() >= self.limits.streams {
            kept.forget_oldest();
        }
        let counted = Arc::new(Counted::new(self.limits));
        let used = Used {
            counted: Arc::clone(&counted),
            last,
        };
        kept.streams.insert(name.clone(), used);
        counted
    }
}

impl Kept {
    fn forget_oldest(&mut self) {
        let oldest = self.streams.iter().min_by_key(|(_, used)| used.last);
        if let Some(name) = oldest.map(|(name, _)| name.clone()) {
            self.streams.remove(&name);
        }
    }
}

impl Counted {
    fn new(limits: Limits) -> Self {
        let known = Known {
            points: Vec::new(),
            points_max: limits.points,
            end: Point::START,
            stride_links: limits.stride_links,
            passed: 0,
        };
        Self {
            limits,
            known: Mutex::new(known),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// How many events of the source are to be asked for at once.
    pub(super) const fn slice_events(&self) -> u64 {
        self.limits.slice_events
    }

    /// Takes note of a point, after each event of the source that was looked at.
    pub(super) fn note(&self, point: Point) {
        lock(&self.known).note(point);
    }

    /// How far it is counted.
    pub(super) fn end(&self) -> Point {
        lock(&self.known).end
    }

    /// How far it is counted, when that is enough.
    pub(super) fn reached(&self, until: Until) -> Option<Point> {
        let end = self.end();
        let reached = match until {
            Until::Number(number) => end.number >= number,
            Until::Position(position) => end.after >= position,
        };
        reached.then_some(end)
    }

    /// The last point known with at most this number.
    pub(super) fn at_most(&self, number: u64) -> Point {
        let known = lock(&self.known);
        if known.end.number <= number {
            return known.end;
        }
        let behind = known.points.partition_point(|point| point.number <= number);
        let last = behind.checked_sub(1).and_then(|at| known.points.get(at));
        last.copied().unwrap_or_default()
    }

    /// The first point known with exactly this number, when there is one.
    pub(super) fn first_with(&self, number: u64) -> Option<Point> {
        let known = lock(&self.known);
        let at = known.points.partition_point(|point| point.number < number);
        let first = known.points.get(at).copied();
        first.filter(|point| point.number == number)
    }

    /// Waits for the turn to count; it is over when the guard is dropped.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }
}

impl Known {
    fn note(&mut self, point: Point) {
        if point.after <= self.end.after {
            return;
        }
        self.end = point;
        self.passed += 1;
        let last = self.points.last().map_or(0, |last| last.number);
        let is_far = point.number.saturating_sub(last) >= self.stride_links;
        if is_far || self.passed >= self.stride_links.saturating_mul(EVENTS_PER_LINK) {
            self.keep(point);
        }
    }

    fn keep(&mut self, point: Point) {
        self.passed = 0;
        match self.points.as_mut_slice() {
            [.., first, last] if first.number == point.number && last.number == point.number => {
                *last = point;
            }
            _ => self.points.push(point),
        }
        if self.points.len() > self.points_max {
            self.thin_out();
        }
    }

    /// Keeps every second point, and from now on half as many.
    fn thin_out(&mut self) {
        let mut keep = false;
        self.points.retain(|_| {
            keep = !keep;
            !keep
        });
        self.stride_links = self.stride_links.saturating_mul(2);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .expect("nothing panics while it holds the lock")
}

#[cfg(test)]
mod tests {
    use super::{Counted, Counts, EVENTS_PER_LINK, Limits, Point, STRIDE_LINKS, lock};
    use factum_types::{Position, StreamName};
    use std::sync::Arc;

    fn limits(streams: usize, points: usize) -> Limits {
        Limits {
            streams,
            points,
            ..Limits::SERVER
        }
    }

    fn point(number: u64, position: u64) -> Point {
        Point {
            number,
            after: Some(Position::from_raw(position)),
        }
    }

    #[test]
    fn one_in_a_stride_is_kept() {
        let counted = Counted::new(limits(1, 100));
        for number in 1..=1_000 {
            counted.note(point(number, number * 10));
        }
        assert_eq!(lock(&counted.known).points.len(), 3);
        assert_eq!(counted.at_most(255), Point::START);
        assert_eq!(counted.at_most(256), point(256, 2_560));
        assert_eq!(counted.at_most(999), point(768, 7_680));
        assert_eq!(counted.at_most(1_000), point(1_000, 10_000));
        assert_eq!(counted.end(), point(1_000, 10_000));
    }

    #[test]
    fn a_run_without_a_link_is_kept_as_its_ends() {
        let counted = Counted::new(limits(1, 100));
        let far = 20 * STRIDE_LINKS * EVENTS_PER_LINK;
        for position in 0..far {
            counted.note(point(1, position));
        }
        counted.note(point(2, far));
        assert_eq!(lock(&counted.known).points.len(), 2);
        let after = STRIDE_LINKS * EVENTS_PER_LINK - 1;
        assert_eq!(counted.first_with(1), Some(point(1, after)));
        assert_eq!(counted.at_most(1), point(1, far - 1));
        assert_eq!(counted.first_with(2), None);
    }

    #[test]
    fn a_full_list_is_thinned_out_and_covers_everything() {
        let counted = Counted::new(limits(1, 16));
        let links = 100 * STRIDE_LINKS;
        for number in 1..=links {
            counted.note(point(number, number));
        }
        let known = lock(&counted.known);
        assert!(known.points.len() <= 16, "{}", known.points.len());
        assert_eq!(known.stride_links, 8 * STRIDE_LINKS);
        let last = known.points.last().unwrap().number;
        drop(known);
        assert!(links - last <= 8 * STRIDE_LINKS, "{last}");
        assert!(counted.at_most(links / 2).number > links / 2 - 16 * STRIDE_LINKS);
    }

    #[test]
    fn what_was_noted_before_is_not_noted_again() {
        let counted = Counted::new(limits(1, 16));
        counted.note(point(5, 50));
        counted.note(point(3, 30));
        counted.note(point(5, 50));
        assert_eq!(counted.end(), point(5, 50));
        assert_eq!(lock(&counted.known).passed, 1);
    }

    #[test]
    fn the_stream_not_used_for_longest_is_forgotten() {
        let counts = Counts::new(limits(2, 16));
        let of = |name: &str| counts.of(&StreamName::new(name).unwrap());
        of("a").note(point(1, 1));
        of("b").note(point(1, 1));
        let kept = of("a");
        of("c");
        assert!(Arc::ptr_eq(&kept, &of("a")));
        assert_eq!(of("b").end(), Point::START);
        assert_eq!(lock(&counts.kept).streams.len(), 2);
    }
}
