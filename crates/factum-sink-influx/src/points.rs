//! The writer: points are taken down, each with a time of its own.
//!
//! InfluxDB has one point for each measurement, set of tags and time; another one overwrites it. So the time is
//!
//! ```text
//! milliseconds × 1,000,000 + position mod 1,000,000
//! ```
//!
//! in nanoseconds, which is the same whenever the event is applied, and another one for every event. Where that is not enough, a tag makes the
//! difference: `factum_n` counts the points of one event that would else be one; `factum_page` is the position divided by 1,000,000, for points
//! whose time is not that of their event (times of events never go backwards, so no millisecond has a million of them).
//!
//! Relies on: positions, which no two events share. Never: takes a clock.

use std::collections::BTreeMap;

use factum_projection::points::check_point;
use factum_projection::{Cell, Error, Points};
use factum_types::{Position, RecordedEvent, Timestamp};

use crate::line::Line;

/// How many nanoseconds a millisecond has, and so how many positions fit one.
const SLOTS: u64 = 1_000_000;
/// The tags that the sink gives.
const OWN: [&str; 2] = ["factum_n", "factum_page"];

/// Measurement, tags and time: what makes a point another one.
type Series = (String, Vec<(String, String)>, i64);

/// What a projector writes InfluxDB with.
#[derive(Debug, Default)]
pub struct InfluxPoints {
    pub(crate) lines: Vec<Line>,
    event: Option<(Position, Timestamp)>,
    /// How many points of the event there are of each series and time.
    seen: BTreeMap<Series, u32>,
}

impl InfluxPoints {
    pub(crate) fn event(&mut self, event: &RecordedEvent) -> &mut Self {
        self.event = Some((event.position, event.time));
        self.seen.clear();
        self
    }

    pub(crate) fn take(&mut self) -> Vec<Line> {
        self.seen.clear();
        std::mem::take(&mut self.lines)
    }
}

impl Points for InfluxPoints {
    fn point(
        &mut self,
        measurement: &str,
        tags: &[(&str, &str)],
        fields: &[Cell<'_>],
        time: Option<Timestamp>,
    ) -> Result<(), Error> {
        check_point(measurement, tags, fields)?;
        let names = tags
            .iter()
            .map(|(name, _)| *name)
            .chain(fields.iter().map(|(name, _)| *name));
        if let Some(name) = names.into_iter().find(|name| OWN.contains(name)) {
            let what =
                format!("a point of {measurement:?} cannot have {name:?}, which the sink gives");
            return Err(Error::refused(what));
        }
        let Some((position, of_event)) = self.event else {
            return Err(Error::invalid("a point was written without an event"));
        };
        let nanoseconds = stamp(time.unwrap_or(of_event), position)?;
        let mut line = Line::new(measurement, tags, fields, nanoseconds)?;
        let page = position.raw() / SLOTS;
        if time.is_some() && page > 0 {
            line.tags.push(("factum_page".to_owned(), page.to_string()));
        }
        let series = (line.measurement.clone(), line.tags.clone(), line.time);
        let before = self.seen.entry(series).or_insert(0);
        if *before > 0 {
            line.tags.push(("factum_n".to_owned(), before.to_string()));
        }
        *before += 1;
        line.tags.sort();
        self.lines.push(line);
        Ok(())
    }
}

/// The time of a point, in nanoseconds.
fn stamp(time: Timestamp, position: Position) -> Result<i64, Error> {
    let milliseconds = time.as_micros().div_euclid(1_000);
    let slot = i64::try_from(position.raw() % SLOTS).unwrap_or(0);
    let stamp = milliseconds
        .checked_mul(1_000_000)
        .and_then(|it| it.checked_add(slot));
    // The two lowest and the highest mean something else to InfluxDB.
    let stamp = stamp.filter(|it| (i64::MIN + 2..i64::MAX).contains(it));
    stamp.ok_or_else(|| Error::refused(format!("{time:?} is outside the years 1677 to 2262")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_milliseconds_and_position() {
        let of =
            |micros, position| stamp(Timestamp::from_micros(micros), Position::from_raw(position));
        assert_eq!(
            of(1_700_000_000_123_456, 7).unwrap(),
            1_700_000_000_123_000_007
        );
        assert_eq!(of(-1, 1_000_001).unwrap(), -999_999);
        assert!(of(i64::MAX, 0).is_err());
    }

    #[test]
    fn events_and_their_points_do_not_overwrite_each_other() {
        let mut points = InfluxPoints::default();
        let mut identities = std::collections::BTreeSet::new();
        let day = Some(Timestamp::from_micros(1_700_000_000_000_000));
        for number in (0..5_000).chain(1_000_000..1_005_000) {
            points.event = Some((Position::from_raw(number), Timestamp::from_micros(5)));
            points.seen.clear();
            for _ in 0..2 {
                points
                    .point("m", &[("t", "v")], &[("f", 1_i64.into())], day)
                    .unwrap();
            }
        }
        for line in points.take() {
            assert!(identities.insert((line.tags, line.time)));
        }
        assert_eq!(identities.len(), 20_000);
        let error = points.point("m", &[("factum_n", "1")], &[("f", 1_i64.into())], None);
        assert!(error.unwrap_err().to_string().contains("factum_n"));
    }
}
