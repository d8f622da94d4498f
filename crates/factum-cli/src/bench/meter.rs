//! What a stretch of time cost: elapsed, the processor's time of this process, and how busy others kept the machine meanwhile.
//!
//! Relies on: /proc of Linux; where it cannot be read, others count as quiet. Never: decides anything by it.

use factum_io::Clock;
use rustix::time::{ClockId, clock_gettime};

/// Ticks of /proc/stat in a second; the same on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A stretch that has begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meter {
    start_ns: u64,
    own_ns: u64,
    busy_ticks: u64,
}

/// A stretch that is over.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spent {
    /// How long it was.
    pub(super) ns: u64,
    /// What all threads of this process used of the processors.
    pub(super) own_ns: u64,
    /// How many processors everybody else kept busy, on average. Our own work in the kernel's threads counts here.
    pub(super) others: f64,
}

impl Meter {
    pub(super) fn start(clock: &dyn Clock) -> Self {
        Self {
            start_ns: clock.monotonic_ns(),
            own_ns: own_ns(),
            busy_ticks: busy_ticks(),
        }
    }

    pub(super) fn stop(self, clock: &dyn Clock) -> Spent {
        let ns = clock.monotonic_ns().saturating_sub(self.start_ns).max(1);
        let own_ns = own_ns().saturating_sub(self.own_ns);
        let busy = busy_ticks().saturating_sub(self.busy_ticks) as f64 / TICKS_PER_SECOND;
        let others = (busy - own_ns as f64 / 1e9) / (ns as f64 / 1e9);
        Spent {
            ns,
            own_ns,
            others: others.max(0.0),
        }
    }
}

/// What all threads of this process have used of the processors.
fn own_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let part = |value| u64::try_from(value).unwrap_or_default();
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

/// What all processors have worked since the machine started; time stolen by the host counts, waiting for a device does not.
fn busy_ticks() -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    busy_in(&text)
}

fn busy_in(stat: &str) -> u64 {
    // cpu  user nice system idle iowait irq softirq steal guest guest_nice; guests are counted in user already
    let fields = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1);
    let ticks = fields.map(|field| field.parse::<u64>().unwrap_or_default());
    let counted = ticks
        .take(8)
        .enumerate()
        .filter(|(field, _)| !matches!(field, 3 | 4));
    counted.map(|(_, ticks)| ticks).sum()
}

/// Bytes that this process has had read from devices.
pub(super) fn device_bytes_read() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("read_bytes: "));
    line.and_then(|bytes| bytes.trim().parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::busy_in;

    #[test]
    fn waiting_is_not_working() {
        assert_eq!(
            busy_in("cpu  1 2 4 8000 16000 32 64 128 1 2\ncpu0 9 9"),
            1 + 2 + 4 + 32 + 64 + 128
        );
        assert_eq!(busy_in(""), 0);
    }
}
