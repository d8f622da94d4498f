//! One line of the results: a figure, its limit, and the floor that the ratio of the two must not fall under.

use serde_json::{Map, Value, json};

use super::meter::Spent;
use super::session::Measured;
use super::stats::{Histogram, micros};

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Events in a second.
    Events,
    /// Commits in a second.
    Commits,
    /// Reads in a second.
    Reads,
    /// MiB in a second.
    Mebibytes,
    /// Milliseconds.
    Millis,
    /// Bytes on disk for an event.
    BytesPerEvent,
}

/// What a version must reach to be released.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Floor {
    /// This part of the limit.
    Ratio(f64),
    /// This figure, whatever the limit is.
    Figure(f64),
}

/// A further thing that was found out on the way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fact {
    /// What it is, as JSON names it.
    pub(super) name: &'static str,
    /// How much.
    pub(super) value: f64,
    /// Of what; may be empty.
    pub(super) unit: &'static str,
}

/// One line of the results.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// The subcommand that measures it.
    pub(super) group: &'static str,
    /// What was measured.
    pub(super) name: String,
    /// In what.
    pub(super) unit: Unit,
    /// How much.
    pub(super) figure: f64,
    /// What the machine would allow, and what that is; none where the figure is a limit itself.
    pub(super) limit: Option<(f64, &'static str)>,
    /// What must be reached.
    pub(super) floor: Option<Floor>,
    /// What else was found out.
    pub(super) facts: Vec<Fact>,
    /// What a reader must know, in words.
    pub(super) note: String,
}

impl Unit {
    /// As it stands behind a figure.
    pub(super) const fn shown(self) -> &'static str {
        match self {
            Self::Events => "events/s",
            Self::Commits => "commits/s",
            Self::Reads => "reads/s",
            Self::Mebibytes => "MiB/s",
            Self::Millis => "ms",
            Self::BytesPerEvent => "B/event",
        }
    }

    const fn less_is_better(self) -> bool {
        matches!(self, Self::Millis | Self::BytesPerEvent)
    }

    /// How much of `limit` is reached by `figure`; 1 is all.
    fn ratio(self, figure: f64, limit: f64) -> Option<f64> {
        let (part, whole) = if self.less_is_better() {
            (limit, figure)
        } else {
            (figure, limit)
        };
        (whole > 0.0).then_some(part / whole)
    }
}

impl Floor {
    /// The part of the limit that this figure is of that limit, both as they were when the floor was set.
    pub(super) const fn of(figure: f64, limit: f64) -> Self {
        Self::Ratio(figure / limit)
    }
}

impl Row {
    /// A row with neither limit nor floor.
    pub(super) fn new(
        group: &'static str,
        name: impl Into<String>,
        unit: Unit,
        figure: f64,
    ) -> Self {
        Self {
            group,
            name: name.into(),
            unit,
            figure,
            limit: None,
            floor: None,
            facts: Vec::new(),
            note: String::new(),
        }
    }

    pub(super) fn limit(mut self, limit: f64, is: &'static str) -> Self {
        self.limit = Some((limit, is));
        self
    }

    pub(super) fn floor(mut self, floor: Option<Floor>) -> Self {
        self.floor = floor;
        self
    }

    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    pub(super) fn fact(mut self, name: &'static str, value: f64, unit: &'static str) -> Self {
        self.facts.push(Fact { name, value, unit });
        self
    }

    /// Adds the median and the slow end of what was waited.
    pub(super) fn times(self, times: &Histogram) -> Self {
        if times.count() == 0 {
            return self;
        }
        self.fact("p50", micros(times.per_mille(500)), "µs").fact(
            "p99",
            micros(times.per_mille(990)),
            "µs",
        )
    }

    /// Adds how the ratio differed between rounds, where there were enough of them; the row has its limit already.
    ///
    /// Of an even number the median is the lower one. The ratios of rounds are of whatever was measured, and may be in other units than the row: what counts is how they relate to the best.
    pub(super) fn rounds(self, figure: &Measured, limit: &Measured) -> Self {
        const ROUNDS_MIN: usize = 3;
        let mut ratios = figure.rounds.clone();
        ratios.sort_by(f64::total_cmp);
        let (Some(shown), [lowest, .., highest]) = (self.ratio(), ratios.as_slice()) else {
            return self;
        };
        if ratios.len() < ROUNDS_MIN {
            return self;
        }
        let unit = shown * limit.figure / figure.figure;
        let median = ratios
            .get((ratios.len() - 1) / 2)
            .copied()
            .unwrap_or_default();
        self.fact("median ratio", median * unit, "")
            .fact("lowest", lowest * unit, "")
            .fact("highest", highest * unit, "")
    }

    /// Adds what so many items cost of the processors, and who else was busy.
    pub(super) fn spent(self, spent: &Spent, items: u64) -> Self {
        self.fact(
            "cpu",
            micros(spent.own_ns) / (items.max(1) as f64),
            "µs each",
        )
        .others(spent)
    }

    /// Adds who else was busy, if that may have mattered.
    pub(super) fn others(self, spent: &Spent) -> Self {
        const MATTERS: f64 = 0.1;
        if spent.others < MATTERS {
            return self;
        }
        self.fact("others", spent.others, "cores busy")
    }

    /// How much of the limit is reached.
    pub(super) fn ratio(&self) -> Option<f64> {
        self.unit.ratio(self.figure, self.limit?.0)
    }

    /// The ratio that must be reached.
    pub(super) fn floor_ratio(&self) -> Option<f64> {
        match self.floor? {
            Floor::Ratio(ratio) => Some(ratio),
            Floor::Figure(figure) => self.unit.ratio(figure, self.limit?.0),
        }
    }

    /// Whether it falls short; `None` where nothing is asked.
    pub(super) fn is_under(&self) -> Option<bool> {
        Some(self.ratio()? < self.floor_ratio()?)
    }

    /// What else was found out, in words.
    pub(super) fn words(&self) -> String {
        let mut parts: Vec<String> = Vec::with_capacity(self.facts.len() + 1);
        for Fact { name, value, unit } in &self.facts {
            let gap = if unit.is_empty() { "" } else { " " };
            parts.push(format!("{name} {}{gap}{unit}", shown(*value)));
        }
        if !self.note.is_empty() {
            parts.push(self.note.clone());
        }
        parts.join(", ")
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let facts = self
            .facts
            .iter()
            .map(|fact| (fact.name.to_owned(), json!(fact.value)));
        json!({
            "group": self.group,
            "name": self.name,
            "unit": self.unit.shown(),
            "figure": self.figure,
            "limit": self.limit.map(|(limit, _)| limit),
            "limitIs": self.limit.map(|(_, is)| is),
            "ratio": self.ratio(),
            "floorRatio": self.floor_ratio(),
            "isUnderFloor": self.is_under(),
            "facts": Map::from_iter(facts),
            "note": self.note,
        })
    }
}

/// A figure with three digits, or all of them where there are more before the point.
pub(super) fn shown(value: f64) -> String {
    let digits = match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        0.0 => 0,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    match whole.parse() {
        Ok(whole) => format!("{}{rest}", crate::ui::progress::grouped(whole)),
        Err(_negative) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::{Floor, Measured, Row, Unit, shown};

    #[test]
    fn figures_are_short() {
        let check = |value: f64, expected: &str| assert_eq!(shown(value), expected);
        check(0.0, "0");
        check(0.456, "0.46");
        check(9.99, "9.99");
        check(73.26, "73.3");
        check(1_234_567.8, "1,234,568");
    }

    /// Rounds measured in one unit, a row in another, as reading from the device is.
    #[test]
    fn rounds_are_shown_in_the_unit_of_the_row() {
        let measured = |figure, rounds: &[f64]| Measured {
            figure,
            rounds: rounds.to_vec(),
            ..Measured::default()
        };
        let words = |rounds: &[f64]| {
            let row = Row::new("x", "y", Unit::Events, 60.0).limit(100.0, "z");
            row.rounds(&measured(60.0, rounds), &measured(10.0, &[]))
                .words()
        };
        let expected = "median ratio 0.50, lowest 0.30, highest 0.60";
        assert_eq!(words(&[6.0, 3.0, 5.0]), expected);
        assert_eq!(words(&[6.0, 3.0, 5.0, 5.5]), expected);
        assert_eq!(words(&[6.0, 3.0]), "");
    }

    #[test]
    fn more_is_better_except_for_times_and_bytes() {
        let check = |unit, figure, floor, ratio: f64, under: bool| {
            let row = Row::new("x", "y", unit, figure)
                .limit(256.0, "z")
                .floor(Some(floor));
            assert!((row.ratio().unwrap() - ratio).abs() < 1e-9, "{row:?}");
            assert_eq!(row.is_under(), Some(under), "{row:?}");
        };
        check(Unit::Events, 128.0, Floor::of(400.0, 1_000.0), 0.5, false);
        check(Unit::Events, 64.0, Floor::Ratio(0.4), 0.25, true);
        check(Unit::BytesPerEvent, 512.0, Floor::Figure(320.0), 0.5, true);
        check(
            Unit::BytesPerEvent,
            300.0,
            Floor::Figure(320.0),
            256.0 / 300.0,
            false,
        );
    }
}
