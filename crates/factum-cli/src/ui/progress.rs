//! How far a long command is: a bar for a person, JSON lines for a program, or nothing.

use std::sync::Arc;

use factum_io::Clock;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::ProgressMode;

const JSON_EVERY_NS: u64 = 1_000_000_000;
const BAR_EVERY_NS: u64 = 100_000_000;

/// How far a long command is. Every method is cheap: drawing happens a few times per second.
#[derive(Debug)]
pub(crate) struct Progress {
    mode: ProgressMode,
    bar: Option<ProgressBar>,
    clock: Arc<dyn Clock>,
    start_ns: u64,
    last_ns: u64,
    total: Option<u64>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Step {
    /// How much is done, of the total given to [`Progress::begin`].
    pub(crate) done: u64,
    /// Events done.
    pub(crate) events: u64,
}

impl Progress {
    pub(super) fn new(mode: ProgressMode, clock: Arc<dyn Clock>) -> Self {
        let start_ns = clock.monotonic_ns();
        Self {
            mode,
            bar: None,
            clock,
            start_ns,
            last_ns: start_ns,
            total: None,
        }
    }

    /// Begins. `total` is known for files and makes percent and time left possible.
    pub(crate) fn begin(&mut self, what: &'static str, total: Option<u64>) {
        self.total = total;
        self.start_ns = self.clock.monotonic_ns();
        self.last_ns = self.start_ns;
        if self.mode != ProgressMode::Bar {
            return;
        }
        let template = if total.is_some() {
            "{prefix} {wide_bar} {percent:>3} %  {msg}  {eta} left"
        } else {
            "{prefix} {spinner} {msg}  {elapsed}"
        };
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(what);
        self.bar = Some(bar);
    }

    /// Tells how far it is.
    pub(crate) fn step(&mut self, step: Step) {
        let every = match self.mode {
            ProgressMode::Json => JSON_EVERY_NS,
            ProgressMode::Bar | ProgressMode::Auto => BAR_EVERY_NS,
            ProgressMode::None => return,
        };
        let now = self.clock.monotonic_ns();
        if now.saturating_sub(self.last_ns) >= every {
            self.last_ns = now;
            self.draw(step, now);
        }
    }

    /// Ends one part of several: a bar disappears, a program is told nothing.
    pub(crate) fn end_quietly(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Ends: a bar disappears, a program is told the last figures.
    pub(crate) fn end(&mut self, step: Step) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if self.mode == ProgressMode::Json {
            self.draw(step, self.clock.monotonic_ns());
        }
    }

    fn draw(&self, step: Step, now: u64) {
        let seconds =
            std::time::Duration::from_nanos(now.saturating_sub(self.start_ns)).as_secs_f64();
        if self.mode == ProgressMode::Json {
            let line = serde_json::json!({ "progress": {
                "done": step.done,
                "total": self.total,
                "events": step.events,
                "seconds": (seconds * 1e3).round() / 1e3,
            }});
            super::say(format_args!("{line}"));
        } else if let Some(bar) = &self.bar {
            bar.set_position(step.done);
            if step.events > 0 {
                let rate = rate(step.events, seconds);
                bar.set_message(format!(
                    "{} events, {}/s",
                    grouped(step.events),
                    grouped(rate)
                ));
            } else {
                bar.set_message(bytes(step.done));
            }
        }
    }
}

/// Events per second, rounded; the count itself for no time at all.
pub(crate) fn rate(events: u64, seconds: f64) -> u64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a figure for display; the cast saturates"
    )]
    let rate = (events as f64 / seconds.max(1e-6)).round() as u64;
    if seconds <= 0.0 { events } else { rate }
}

/// `262200` as `262,200`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 event`, `7 events`.
pub(crate) fn counted(number: u64, one: &str) -> String {
    format!(
        "{} {one}{}",
        grouped(number),
        if number == 1 { "" } else { "s" }
    )
}

/// `2000000` as `1.9 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes.saturating_mul(10) / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!(
        "{}.{} {}",
        tenths / 10,
        tenths % 10,
        UNITS.get(unit).copied().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::{bytes, grouped, rate};

    #[test]
    fn figures_are_readable() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(262_200), "262,200");
        assert_eq!(grouped(1_000_000), "1,000,000");
        assert_eq!(bytes(1_023), "1023 B");
        assert_eq!(bytes(2_000_000), "1.9 MiB");
        assert_eq!(bytes(64 << 20), "64.0 MiB");
        assert_eq!(rate(300, 2.0), 150);
        assert_eq!(rate(5, 0.0), 5);
    }
}
