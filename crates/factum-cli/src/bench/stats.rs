//! Counts and times: rates, percentiles, and a histogram that fits beside each of a thousand writers.
//!
//! A histogram has sixteen buckets to each doubling, so what it says is within 3 % of the truth; the lowest is below a
//! quarter of a microsecond and the highest above a quarter of an hour.

const STEPS_BITS: u32 = 4;
const STEPS: usize = 1 << STEPS_BITS;
/// Everything below is one bucket.
const LOWEST_BITS: u32 = 8;
const OCTAVES: usize = 32;

/// How often which time was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Histogram {
    buckets: Vec<u32>,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: vec![0; OCTAVES * STEPS],
            count: 0,
        }
    }
}

impl Histogram {
    /// Counts one.
    pub(super) fn add(&mut self, ns: u64) {
        if let Some(bucket) = self.buckets.get_mut(bucket_of(ns)) {
            *bucket = bucket.saturating_add(1);
        }
        self.count += 1;
    }

    /// Counts all that another one has.
    pub(super) fn merge(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket = bucket.saturating_add(*more);
        }
        self.count += other.count;
    }

    /// How many were counted.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// The time in nanoseconds that so many of a thousand stayed within, and no smaller one; 0 when none was counted.
    pub(super) fn per_mille(&self, part: u64) -> u64 {
        let rank = (self.count * part).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (number, bucket) in self.buckets.iter().enumerate() {
            seen += u64::from(*bucket);
            if seen >= rank {
                return middle_of(number);
            }
        }
        0
    }
}

fn bucket_of(ns: u64) -> usize {
    let octave = ns.max(1).ilog2();
    if octave < LOWEST_BITS {
        return 0;
    }
    let step = usize::try_from(ns >> (octave - STEPS_BITS)).unwrap_or(usize::MAX) - STEPS;
    let above = usize::try_from(octave - LOWEST_BITS).unwrap_or(usize::MAX);
    (above * STEPS + step).min(OCTAVES * STEPS - 1)
}

fn middle_of(bucket: usize) -> u64 {
    let (octave, step) = (
        (bucket / STEPS) as u64 + u64::from(LOWEST_BITS),
        bucket % STEPS,
    );
    let width = 1_u64 << (octave - u64::from(STEPS_BITS));
    (STEPS + step) as u64 * width + width / 2
}

/// How many a second, given how many in so many nanoseconds.
pub(super) fn per_second(count: u64, ns: u64) -> f64 {
    count as f64 * 1e9 / (ns.max(1) as f64)
}

/// Nanoseconds as microseconds.
pub(super) fn micros(ns: u64) -> f64 {
    ns as f64 / 1e3
}

/// Nanoseconds as milliseconds.
pub(super) fn millis(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// A duration given in seconds, in nanoseconds.
pub(super) fn ns_of(seconds: f64) -> u64 {
    u64::try_from(
        std::time::Duration::try_from_secs_f64(seconds)
            .unwrap_or_default()
            .as_nanos(),
    )
    .unwrap_or(u64::MAX)
}

/// The middle one; of an even number the lower, 0 of none.
pub(super) fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Histogram, median, ns_of, per_second};

    fn check(times: &[u64], part: u64, expected: u64) {
        let mut histogram = Histogram::default();
        times.iter().for_each(|time| histogram.add(*time));
        let found = histogram.per_mille(part);
        let off = found.abs_diff(expected);
        assert!(
            off * 32 <= expected,
            "{part} of 1000: {found}, expected {expected}"
        );
    }

    #[test]
    fn percentiles_are_within_three_percent() {
        let steps: Vec<u64> = (1..=10_000).map(|n| n * 1_000).collect();
        check(&steps, 500, 5_000_000);
        check(&steps, 990, 9_900_000);
        check(&steps, 999, 9_990_000);
        check(&steps, 1_000, 10_000_000);
        check(&[73_000], 500, 73_000);
        check(&[73_000], 990, 73_000);
        check(&[1_000, 1_000, 1_000, 50_000_000], 750, 1_000);
        check(&[1_000, 1_000, 1_000, 50_000_000], 751, 50_000_000);
    }

    #[test]
    fn the_ends_are_kept() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.per_mille(500), 0, "none counted");
        histogram.add(0);
        assert!(histogram.per_mille(500) < 300);
        histogram.add(u64::MAX);
        assert!(
            histogram.per_mille(1_000) > 15 * 60 * 1_000_000_000,
            "{histogram:?}"
        );
        assert_eq!(histogram.count(), 2);
    }

    #[test]
    fn merging_adds() {
        let (mut one, mut two, mut both) = (
            Histogram::default(),
            Histogram::default(),
            Histogram::default(),
        );
        for time in 1..500 {
            one.add(time * 999);
            both.add(time * 999);
            two.add(time * 77_777);
            both.add(time * 77_777);
        }
        one.merge(&two);
        assert_eq!(one, both);
    }

    #[test]
    fn small_things() {
        assert_eq!(median(&mut []), 0);
        assert_eq!(median(&mut [3, 1, 2]), 2);
        assert_eq!(median(&mut [4, 1, 2, 3]), 2);
        assert_eq!(ns_of(0.05), 50_000_000);
        assert!((per_second(30, 3_000_000_000) - 10.0).abs() < 1e-9);
    }
}
