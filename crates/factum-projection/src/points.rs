//! The writer of sinks that hold time series.
//!
//! What lives here: [`Points`], and what every sink of that kind checks. Relies on: nothing. Never: overwrites a point of another event.

use factum_types::Timestamp;

use crate::error::Error;
use crate::rows::Cell;
use crate::value::Value;

/// A point has at most this many tags and fields together.
pub const POINT_CELLS_MAX: usize = 256;
/// The longest name of a measurement, tag or field, in bytes.
pub const POINT_NAME_BYTES_MAX: usize = 128;

/// Writes points of time series.
///
/// A point says what was so at a moment; it is never changed. Two points of different events, or two of one event, are two points, also with
/// the same measurement, tags and time: a sink that finds points by their time makes it unique with the position of the event (which
/// it is given with [`Sink::writer`](crate::Sink::writer)) and the number of the point in the event. An event that is applied again writes the
/// same points again. So a sink keeps the time to the millisecond at least, and may use what is below that.
///
/// ```
/// use factum_projection::{Error, Points};
///
/// fn paid(to: &mut dyn Points, country: &str, amount: f64) -> Result<(), Error> {
///     to.point("payments", &[("country", country)], &[("amount", amount.into())], None)
/// }
/// ```
pub trait Points {
    /// A point. Tags are what is grouped by, fields what is measured; without a time it is that of the event.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::Kind::Refused), now or at commit: [`check_point`] says why; or the field had another type before.
    fn point(
        &mut self,
        measurement: &str,
        tags: &[(&str, &str)],
        fields: &[Cell<'_>],
        time: Option<Timestamp>,
    ) -> Result<(), Error>;
}

/// What every sink checks of a point before it takes it: names are not empty, not too long, not given twice, without control characters and
/// do not begin with an underscore; tags have no control characters; at least one field is given that is not [`Null`](Value::Null) (those are left
/// out), and fields hold truths, numbers, text or moments.
///
/// # Errors
/// [`Kind::Refused`](crate::Kind::Refused): which name or value, and why.
pub fn check_point(
    measurement: &str,
    tags: &[(&str, &str)],
    fields: &[Cell<'_>],
) -> Result<(), Error> {
    let refuse = |what: String| Err(Error::refused(format!("a point of {measurement:?} {what}")));
    let names = || {
        let tags = tags.iter().map(|(name, _)| *name);
        tags.chain(fields.iter().map(|(name, _)| *name))
    };
    let bad = |name: &&str| {
        name.is_empty()
            || name.len() > POINT_NAME_BYTES_MAX
            || name.starts_with('_')
            || name.chars().any(char::is_control)
    };
    if let Some(name) = std::iter::once(measurement).chain(names()).find(bad) {
        return refuse(format!(
            "has the name {name:?}: use 1 to {POINT_NAME_BYTES_MAX} bytes, no control characters, no underscore at the beginning"
        ));
    }
    if tags.len() + fields.len() > POINT_CELLS_MAX {
        return refuse(format!("has more than {POINT_CELLS_MAX} tags and fields"));
    }
    for (index, name) in names().enumerate() {
        if name == "time" || names().take(index).any(|other| other == name) {
            return refuse(format!("cannot have {name:?}, or has it twice"));
        }
    }
    if let Some((name, _)) = tags
        .iter()
        .find(|(_, value)| value.chars().any(char::is_control))
    {
        return refuse(format!("has control characters in the tag {name}"));
    }
    for (name, value) in fields {
        let flaw = match value {
            Value::Bytes(_) => Some("bytes"),
            Value::Json(_) => Some("JSON"),
            value => value.flaw(),
        };
        if let Some(flaw) = flaw {
            return refuse(format!("cannot hold {flaw} in the field {name}"));
        }
    }
    if fields.iter().all(|(_, value)| *value == Value::Null) {
        return refuse("has no field".to_owned());
    }
    Ok(())
}
